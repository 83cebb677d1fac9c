//! Which ONNX Runtime is fetched: one version, one wheel a platform, with the digests of the wheel and of the
//! library in it. To change the version, take `pip download` of each platform and write the figures down here.
//!
//! 1.28.0 is the last release without telemetry: see docs/decisions.md.

/// The pinned release of the PyPI package `onnxruntime`.
pub(super) const VERSION: &str = "1.28.0";

/// The Python that the pinned wheels are built for; only the library in them is used, so any will do.
pub(super) const PYTHON_VERSION: &str = "3.12";
pub(super) const PYTHON_ABI: &str = "cp312";

/// What the shared library is called on this platform.
pub(super) const LIBRARY_NAME: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// One platform's wheel.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) os: &'static str,
    pub(super) arch: &'static str,
    /// As pip calls it.
    pub(super) platform: &'static str,
    pub(super) wheel: &'static str,
    pub(super) wheel_bytes: u64,
    pub(super) wheel_sha256: &'static str,
    pub(super) library_in_wheel: &'static str,
    pub(super) library_bytes: u64,
    pub(super) library_sha256: &'static str,
}

const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        wheel: "onnxruntime-1.28.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        wheel_bytes: 19_214_257,
        wheel_sha256: "0a83bdb70d143cede762b677789bf2a7acca54b3fb82565601d5c30695aa933c",
        library_in_wheel: "onnxruntime/capi/libonnxruntime.so.1.28.0",
        library_bytes: 24_272_944,
        library_sha256: "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        wheel: "onnxruntime-1.28.0-cp312-cp312-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        wheel_bytes: 17_050_628,
        wheel_sha256: "4e81a23df16e7acb9d51b06d30cc098e49315ef9180f97bc2221d167b4b04d9c",
        library_in_wheel: "onnxruntime/capi/libonnxruntime.so.1.28.0",
        library_bytes: 20_657_248,
        library_sha256: "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        wheel: "onnxruntime-1.28.0-cp312-cp312-macosx_14_0_arm64.whl",
        wheel_bytes: 19_141_362,
        wheel_sha256: "26ff0fdd06efb6c155bae95387a09db1a2be89c7a03e4d0bffd5a171cc2826da",
        library_in_wheel: "onnxruntime/capi/libonnxruntime.1.28.0.dylib",
        library_bytes: 30_509_592,
        library_sha256: "cadd9517e089d197e5d381bc31813875eb8addce8712bac501645fea8008800c",
    },
    Pin {
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        wheel: "onnxruntime-1.28.0-cp312-cp312-win_amd64.whl",
        wheel_bytes: 13_755_036,
        wheel_sha256: "c35064f9b3c43c81c5d5d282091401d0f1ff22796d93ccade4ea2ece5e137ab8",
        library_in_wheel: "onnxruntime/capi/onnxruntime.dll",
        library_bytes: 17_766_752,
        library_sha256: "3d6bd02dc137b9a1dfdac045a52b147ffb920bb06ab812b08fc8e14279859855",
    },
];

pub(super) fn for_this_platform() -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH)
}

pub(super) fn this_platform() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}
