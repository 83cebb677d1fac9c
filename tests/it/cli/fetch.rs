//! How ONNX Runtime gets onto the machine, and what is never taken for it; pictures at addresses that are refused.

use std::path::PathBuf;

use super::{Ran, Shell, text};

#[test]
fn setup_finds_the_runtime_and_the_second_time_it_is_there_already() {
    let shell = Shell::alone();
    let first = shell.run(&["--json", "setup"]);
    assert_eq!(first.status, 0, "{first:?}");
    let second = shell.run(&["setup", "--offline"]);
    assert_eq!(second.status, 0, "{second:?}");
    let path = first.json()["onnx_runtime"]["path"].as_str().unwrap().to_owned();
    assert!(second.out.contains(&path) && second.err.is_empty(), "{second:?}");
}

#[test]
fn a_variable_that_names_no_library_is_never_passed_over() {
    let shell = Shell::alone();
    let ran = Ran::of(shell.command(&["setup"]).env("ORT_DYLIB_PATH", "/no/such/library"));
    assert!(ran.status == 2 && ran.err.contains("ORT_DYLIB_PATH names /no/such/library"), "{ran:?}");
}

/// `setup` with an empty runtime folder and a script in the place of python; a machine with ONNX Runtime among its
/// system libraries never gets as far as to ask it.
#[cfg(unix)]
fn setup_with(python: &str) -> (Shell, PathBuf, Option<Ran>) {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::alone();
    let script = shell.write("python", python.as_bytes());
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let folder = shell.path("runtime");
    let mut command = shell.command(&["--json", "setup"]);
    command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH");
    command.env("TONGKUAN_RUNTIME_DIR", &folder).env("TONGKUAN_PYTHON", text(&script));
    let ran = Ran::of(&mut command);
    let in_system = ran.status == 0 && ran.json()["onnx_runtime"]["origin"] == "system";
    (shell, folder, (!in_system).then_some(ran))
}

/// What is left in the runtime folder beside the lock.
#[cfg(unix)]
fn left_in(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name != "fetch.lock").collect()
}

/// Stores `content` under the wheel's name, as pip would.
#[cfg(unix)]
fn pip_that_stores(content: &str) -> String {
    format!(
        r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    onnxruntime==*) version="${{1#onnxruntime==}}" ;;
    --abi) abi="$2" ;;
    --platform) platform="$2" ;;
    --dest) dest="$2" ;;
  esac
  shift
done
# As the index names the wheels for Linux: with the older platform that they run on, too.
case "$platform" in manylinux_2_28_*) platform="manylinux_2_27_${{platform#manylinux_2_28_}}.$platform" ;; esac
printf '{content}' > "$dest/onnxruntime-$version-$abi-$abi-$platform.whl"
"#
    )
}

#[cfg(unix)]
#[test]
fn a_damaged_wheel_is_thrown_away_and_named() {
    let (_shell, folder, ran) = setup_with(&pip_that_stores("PK half a wheel"));
    let Some(ran) = ran else { return };
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("SHA-256") && ran.err.contains("thrown away"), "{}", ran.err);
    assert_eq!(left_in(&folder), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn another_file_than_the_wheel_is_not_looked_at() {
    let (_shell, folder, ran) = setup_with("#!/bin/sh\nexit 0\n");
    let Some(ran) = ran else { return };
    assert!(ran.status == 2 && ran.err.contains("pip stored another file"), "{ran:?}");
    assert_eq!(left_in(&folder), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn trouble_with_pip_is_told_in_its_own_words() {
    let (_shell, folder, ran) = setup_with("#!/bin/sh\necho 'ERROR: no matching distribution' >&2\nexit 1\n");
    let Some(ran) = ran else { return };
    assert!(ran.status == 2 && ran.err.contains("no matching distribution"), "{ran:?}");
    assert_eq!(left_in(&folder), Vec::<String>::new());
    let (_shell, _folder, ran) = setup_with("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n");
    assert!(ran.unwrap().err.contains("install python3 with pip"));
}

#[cfg(unix)]
#[test]
fn offline_nothing_is_fetched_and_the_remedy_is_named() {
    let shell = Shell::alone();
    let folder = shell.path("runtime");
    std::fs::create_dir(&folder).unwrap();
    let mut command = shell.command(&["setup", "--offline"]);
    command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH");
    let ran = Ran::of(command.env("TONGKUAN_RUNTIME_DIR", &folder));
    assert!(ran.status == 0 || ran.err.contains("run `tongkuan setup` with network access"), "{ran:?}");
    assert_eq!(left_in(&folder), Vec::<String>::new());
}

#[test]
fn pictures_that_the_configuration_refuses_wait_and_the_remedy_is_told_once() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    assert_eq!(shell.run(&["search", text(&picture)]).status, 1);
    // An upstream on this machine may be fetched from; now there is none.
    shell.write("config.toml", b"");
    for _ in 0..2 {
        let ran = shell.run(&["--json", "harvest"]);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert_eq!(ran.err.matches("fetch_from").count(), 1, "{ran:?}");
        let (harvested, images) = (ran.json()["harvested"].clone(), ran.json()["images"].clone());
        assert_eq!((&harvested["refused"], &harvested["failed"]), (&images["waiting"], &0.into()), "{ran:?}");
        assert!(images["waiting"].as_u64() > Some(0) && images["failed"] == 0, "{ran:?}");
    }
}
