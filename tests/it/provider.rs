//! The model on another provider than the CPU. Whether a real one's vectors are comparable is tried where
//! `TONGKUAN_TEST_OPENVINO` names a libonnxruntime with OpenVINO, as in the package onnxruntime-openvino; else that test says
//! that it was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use image::ImageFormat;
use tongkuan::embed::runtime::{self, Runtime, RuntimeLocation, RuntimeOrigin};
use tongkuan::embed::{COMPARABLE_COSINE, Embedder, Embedding, Model, OnnxEmbedder, Provider};
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::tensor::Preprocessor;

use crate::cli::{Ran, Shell, text};
use crate::embedding::runtime_folder;
use crate::fakes::{encoded, picture, png};

fn model() -> Arc<Model> {
    Arc::new(Model::built_in().unwrap())
}

#[test]
fn a_provider_that_the_runtime_lacks_is_refused_by_name() {
    let location = runtime::ensure(&runtime_folder(), true, &|text| eprintln!("{text}")).unwrap();
    let loaded = Runtime::load(&location).unwrap();
    let error = OnnxEmbedder::with_provider(model(), loaded, 1, Provider::Cuda).unwrap_err();
    assert_eq!(error.code(), "provider_unavailable");
    for told in ["cuda", "ORT_DYLIB_PATH", "libonnxruntime"] {
        assert!(error.to_string().contains(told) || cfg!(windows), "{told} is not in {error}");
    }
    let shell = Shell::alone();
    let picture = shell.write("a.png", &png(1));
    let run = |args: &[&str], by: Option<&str>| {
        let mut command = shell.command(args);
        command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH");
        Ran::of(command.envs(by.map(|provider| ("TONGKUAN_PROVIDER", provider))))
    };
    let by_option = run(&["--provider", "cuda", "add", text(&picture)], None);
    assert!(by_option.status == 2 && by_option.err.contains("on cuda"), "{by_option:?}");
    assert!(by_option.err.contains("--provider cpu"), "{by_option:?}");
    assert!(!shell.path("home").exists(), "no home is made for it");
    let by_variable = run(&["add", text(&picture)], Some("openvino"));
    assert!(by_variable.status == 2 && by_variable.err.contains("on openvino"), "{by_variable:?}");
    let overruled = run(&["--provider", "cpu", "add", text(&picture)], Some("openvino"));
    assert_eq!(overruled.status, 0, "{overruled:?}");
    shell.write("config.toml", b"provider = \"cuda\"\n");
    let doctor = run(&["--json", "--offline", "doctor"], None);
    assert_eq!(doctor.status, 2);
    let line = doctor.lines().into_iter().find(|line| line["check"] == "provider").unwrap();
    assert_eq!((&line["state"], &line["code"]), (&"failed".into(), &"provider_unavailable".into()));
    assert_eq!((&line["provider"], line["least_cosine"].as_f64()), (&"cuda".into(), None));
}

#[test]
fn a_provider_that_there_is_not_is_refused_with_those_that_there_are() {
    let shell = Shell::alone().with_home();
    let by_option = shell.run(&["--provider", "gpu", "stats"]);
    assert!(by_option.status == 2 && by_option.err.contains("openvino"), "{by_option:?}");
    let by_variable = Ran::of(shell.command(&["stats"]).env("TONGKUAN_PROVIDER", "gpu"));
    assert!(by_variable.err.contains("use cpu, cuda, openvino or coreml"), "{by_variable:?}");
    assert_eq!(by_variable.status, 2);
}

/// `None` where no runtime with OpenVINO is named for tests.
fn openvino() -> Option<PathBuf> {
    let library = std::env::var_os("TONGKUAN_TEST_OPENVINO");
    if library.is_none() {
        eprintln!("skipped: TONGKUAN_TEST_OPENVINO names no libonnxruntime with OpenVINO");
    }
    library.map(PathBuf::from)
}

/// In a process that has loaded no other runtime yet.
fn compare_openvino_with_the_cpu(library: &Path) {
    let location = RuntimeLocation { path: library.to_owned(), origin: RuntimeOrigin::Caller };
    let runtime = Runtime::load(&location).unwrap();
    let embedder = OnnxEmbedder::with_provider(model(), runtime, 1, Provider::OpenVino).unwrap();
    let least = embedder.least_cosine().unwrap();
    eprintln!("ONNX Runtime with OpenVINO: the least cosine with the CPU is {least}");
    assert!(least > 0.98 && least < COMPARABLE_COSINE, "{least}");
    let fingerprint = embedder.fingerprint();
    assert_ne!(fingerprint.digest, model().fingerprint().digest);
    assert_eq!(fingerprint.model, format!("{}@openvino", model().fingerprint().model));
    let mut preprocessor = Preprocessor::new(embedder.input().clone());
    let tensors: Vec<_> = (0..24)
        .map(|seed| {
            preprocessor.tensor(&Photo::decode(&png(seed), &PhotoLimits::default()).unwrap()).unwrap()
        })
        .collect();
    let alone: Vec<Embedding> = tensors.iter().map(|tensor| embedder.embed(tensor).unwrap()).collect();
    std::thread::scope(|scope| {
        for (tensor, expected) in tensors.iter().zip(&alone) {
            let embedder = &embedder;
            scope.spawn(move || {
                for _ in 0..4 {
                    let cosine = expected.cosine(&embedder.embed(tensor).unwrap());
                    assert!(cosine > 0.9999, "{cosine}");
                }
            });
        }
    });
}

#[test]
fn openvinos_vectors_are_another_models_the_same_alone_and_together() {
    const NAME: &str = "provider::openvinos_vectors_are_another_models_the_same_alone_and_together";
    const IN_CHILD: &str = "TONGKUAN_TEST_OPENVINO_IN_CHILD";
    let Some(library) = openvino() else { return };
    if std::env::var_os(IN_CHILD).is_some() {
        return compare_openvino_with_the_cpu(&library);
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", NAME, "--nocapture"]).env(IN_CHILD, "1").env("ORT_DISABLE_TELEMETRY", "1");
    assert!(child.status().unwrap().success());
}

#[test]
fn a_home_of_openvino_is_searched_with_it_and_refused_on_the_cpu() {
    let Some(library) = openvino() else { return };
    let shell = Shell::alone();
    for seed in 0..12 {
        shell.write(&format!("goods/{seed}.png"), &png(seed));
    }
    let copy = shell.write("copy.jpg", &encoded(&picture(7), ImageFormat::Jpeg));
    let run = |args: &[&str]| {
        let mut command = shell.command(&[&["--json", "--offline"], args].concat());
        Ran::of(command.env("ORT_DYLIB_PATH", &library).env("RAYON_NUM_THREADS", "6"))
    };
    let openvino = |args: &[&str]| run(&[&["--provider", "openvino"], args].concat());
    let added = openvino(&["add", "goods"]);
    assert!(added.status == 0 && added.lines().len() == 12, "{added:?}");
    let similar = openvino(&["similar", text(&copy)]);
    let nearest = &similar.json()["similar"][0];
    assert!(nearest["label"].as_str().unwrap().contains("7.png"), "{similar:?}");
    assert!(nearest["score"].as_f64().unwrap() > 0.9, "{similar:?}");
    let found = openvino(&["search", text(&shell.path("goods/3.png"))]);
    assert_eq!(found.json()["verdict"], "hit", "{found:?}");
    let line = |ran: &Ran, check: &str| ran.lines().into_iter().find(|line| line["check"] == check).unwrap();
    let doctor = openvino(&["doctor"]);
    let provider = line(&doctor, "provider");
    assert_eq!((&provider["state"], &provider["provider"]), (&"ok".into(), &"openvino".into()));
    assert!(provider["least_cosine"].as_f64().unwrap() < f64::from(COMPARABLE_COSINE), "{provider}");
    assert!(line(&doctor, "model")["detail"].as_str().unwrap().contains("@openvino"), "{doctor:?}");
    let on_cpu = run(&["doctor"]);
    assert_eq!(line(&on_cpu, "catalogue")["code"], "other_model", "{on_cpu:?}");
}
