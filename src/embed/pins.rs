//! Which ONNX Runtime is fetched: one version, one wheel a platform, with the digests of the wheel and of the
//! library in it. To raise the version, take `pip download` of each platform and write the figures down here.

/// The pinned release of the PyPI package `onnxruntime`.
pub(super) const VERSION: &str = "1.30.0";

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
        wheel: "onnxruntime-1.30.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        wheel_bytes: 23_585_654,
        wheel_sha256: "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328",
        library_in_wheel: "onnxruntime/capi/libonnxruntime.so.1.30.0",
        library_bytes: 28_985_152,
        library_sha256: "c902c70b3003c0e99fada202f37478c515ae9bba7944c2b2abd0017bae0c82ed",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        wheel: "onnxruntime-1.30.0-cp312-cp312-manylinux_2_28_aarch64.whl",
        wheel_bytes: 21_345_202,
        wheel_sha256: "6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83",
        library_in_wheel: "onnxruntime/capi/libonnxruntime.so.1.30.0",
        library_bytes: 25_135_496,
        library_sha256: "8a218e1e446880131115c368ec7005969a5022af9a15a26173de648fef0b7789",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        wheel: "onnxruntime-1.30.0-cp312-cp312-macosx_14_0_arm64.whl",
        wheel_bytes: 21_544_867,
        wheel_sha256: "001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd",
        library_in_wheel: "onnxruntime/capi/libonnxruntime.1.30.0.dylib",
        library_bytes: 33_209_560,
        library_sha256: "b46713ea6a25a5227541c21001f6422c1ccdeaecc369aa026a61b752520325c3",
    },
    Pin {
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        wheel: "onnxruntime-1.30.0-cp312-cp312-win_amd64.whl",
        wheel_bytes: 14_311_470,
        wheel_sha256: "f3501472571f1b1eee50e017851e7929f5ea37312d2d8c2494a19e8fc58b4a38",
        library_in_wheel: "onnxruntime/capi/onnxruntime.dll",
        library_bytes: 18_446_176,
        library_sha256: "e42c5c917207ff706530315177e39dca2539695a6a8d968a22225e34291b1f12",
    },
];

pub(super) fn for_this_platform() -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH)
}

pub(super) fn this_platform() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}
