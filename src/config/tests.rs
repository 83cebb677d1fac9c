use std::ffi::OsString;
use std::time::Duration;

use super::*;
use crate::upstream::WeightUnit;

/// A configuration file with this text, and nothing else of the machine's.
struct Scene {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, OsString)>,
}

impl Scene {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        Self { folder, variables: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn resolve(&self, overrides: Overrides) -> Result<Settings, ConfigError> {
        let path = |name: &str| self.folder.path().join(name);
        let overrides = Overrides {
            config_file: overrides.config_file.or_else(|| Some(path("config.toml"))),
            ..overrides
        };
        let lookup = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).or_else(|| {
                // Never the machine's.
                (name == "TONGKUAN_HOME").then(|| path("home").into_os_string())
            })
        };
        Settings::resolve_with(&overrides, &Variables::new(&lookup))
    }

    fn settings(&self) -> Settings {
        self.resolve(Overrides::default()).unwrap()
    }

    fn code(&self) -> &'static str {
        self.resolve(Overrides::default()).unwrap_err().code()
    }
}

const KEYS: &str = "[upstream.article]\napp_key = \"k\"\n";

#[test]
fn what_a_door_names_goes_before_the_environment_and_that_before_the_file() {
    let scene = |text: &str| Scene::new(&format!("{KEYS}{text}")).with("TONGKUAN_APP_SECRET", "s");
    let budget = |settings: Settings| settings.upstreams()[0].policy.daily_budget;
    assert_eq!(budget(scene("").settings()), 500);
    assert_eq!(budget(scene("daily_budget = 7").settings()), 7);
    let scene = scene("daily_budget = 7").with("TONGKUAN_DAILY_BUDGET", "8");
    assert_eq!(budget(scene.settings()), 8);
    let named = Overrides { daily_budget: Some(9), ..Overrides::default() };
    assert_eq!(budget(scene.resolve(named).unwrap()), 9);
}

#[test]
fn a_home_may_have_any_name_and_an_empty_variable_is_none() {
    let scene = Scene::new("home = \"by-file\"");
    assert_eq!(scene.settings().home.folder(), scene.folder.path().join("home"));
    assert_eq!(scene.with("TONGKUAN_HOME", "").settings().home.folder(), Path::new("by-file"));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let raw = OsString::from_vec(b"home\xff".to_vec());
        let scene = Scene::new("").with("TONGKUAN_HOME", raw.clone());
        assert_eq!(scene.settings().home.folder(), PathBuf::from(raw));
    }
}

#[test]
fn without_credentials_nobody_is_asked_and_a_named_upstream_is_an_error() {
    assert!(Scene::new("").settings().upstreams().is_empty());
    assert_eq!(Scene::new(KEYS).code(), "no_credentials");
    assert_eq!(Scene::new("").with("TONGKUAN_UPSTREAM", "aop,article").code(), "no_credentials");
    let error = Scene::new("").with("TONGKUAN_UPSTREAM", "onebound").resolve(Overrides::default());
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("set TONGKUAN_ONEBOUND_KEY and TONGKUAN_ONEBOUND_SECRET"), "{text}");
    // A recording needs none, and no pace.
    let replayed = Overrides { replay: Some(PathBuf::from("tape")), ..Overrides::default() };
    let settings = Scene::new(KEYS).resolve(replayed).unwrap();
    assert_eq!(settings.upstreams()[0].policy.min_interval, Duration::ZERO);
}

#[test]
fn upstreams_are_asked_in_the_order_that_is_named_and_the_first_has_the_address() {
    let sections =
        "[upstream.aop]\napp_key = \"a\"\nsoft_ttl_secs = 60\n[upstream.tmapi]\nweight_unit = \"g\"\n";
    let with = |scene: Scene| scene.with("TONGKUAN_APP_SECRET", "s").with("TONGKUAN_TMAPI_TOKEN", "t");
    assert_eq!(with(Scene::new(sections)).code(), "upstream_order");
    let ordered = with(Scene::new(&format!("upstreams = [\"tmapi\", \"aop\"]\n{sections}")));
    let named = Overrides { base_url: Some("https://near.example".to_owned()), ..Overrides::default() };
    let settings = ordered.resolve(named).unwrap();
    let [tmapi, aop] = settings.upstreams() else { panic!("{settings:?}") };
    assert_eq!((tmapi.profile, aop.profile), (Profile::Tmapi, Profile::Aop));
    assert_eq!((tmapi.base_url.as_deref(), aop.base_url.as_deref()), (Some("https://near.example"), None));
    assert_eq!(aop.cache_policy.soft_ttl, Duration::from_mins(1));
    assert_eq!((tmapi.weight_unit, aop.weight_unit), (WeightUnit::Grams, WeightUnit::Kilograms));
    assert_eq!(settings.upstream(Profile::Aop).unwrap().app_key, "a");
    assert_eq!(settings.upstream(Profile::Onebound).unwrap_err().code(), "upstream_not_configured");
}

#[test]
fn an_upstream_that_is_named_twice_is_refused_by_its_name() {
    let twice = |text: &str| Scene::new(text).with("TONGKUAN_APP_SECRET", "s");
    let listed = twice(&format!("upstreams = [\"article\", \"article\"]\n{KEYS}"));
    let variable = twice("").with("TONGKUAN_APP_KEY", "k").with("TONGKUAN_UPSTREAM", "aop,article,aop");
    for (scene, name) in [(listed, "article"), (variable, "aop")] {
        let error = scene.resolve(Overrides::default()).unwrap_err();
        assert_eq!(error.code(), "upstream_twice", "{error}");
        assert!(error.to_string().contains(&format!("the upstream {name} is named twice")), "{error}");
    }
}

#[test]
fn a_sandbox_stands_in_for_every_upstream() {
    let file = "upstreams = [\"article\", \"aop\", \"onebound\"]
        [upstream.aop]\nbase_url = \"https://gw.example\"
        [upstream.onebound]\nbase_url = \"http://[::1]:7\"\n";
    let variables =
        ["TONGKUAN_APP_KEY", "TONGKUAN_APP_SECRET", "TONGKUAN_ONEBOUND_KEY", "TONGKUAN_ONEBOUND_SECRET"];
    let scene = variables.into_iter().fold(Scene::new(file), |scene, name| scene.with(name, "x"));
    let settings = scene.with("TONGKUAN_BASE_URL", "http://127.0.0.1:1688").settings();
    let addresses: Vec<_> =
        settings.upstreams().iter().map(|upstream| upstream.base_url.as_deref()).collect();
    let sandbox = Some("http://127.0.0.1:1688");
    assert_eq!(addresses, [sandbox, sandbox, Some("http://[::1]:7")], "one has a stand-in of its own");
}

#[test]
fn what_makes_no_sense_is_named_with_its_place() {
    for (text, told) in [
        ("budget = 7", "line 1: unknown field `budget`"),
        ("\nhome = 7", "line 2: invalid type"),
        ("max_false_hit = 3", "max_false_hit is 3: use a share above 0"),
        ("[upstream.nobody]", "unknown variant `nobody`"),
        ("[upstream.tmapi]\nweight_unit = \"lb\"", "line 2: unknown variant `lb`, expected `kg` or `g`"),
    ] {
        let error = Scene::new(text).resolve(Overrides::default()).unwrap_err();
        let said = error.to_string();
        assert!(error.code() == "config_invalid" && said.contains(told), "{text}: {said}");
        assert!(said.contains("config.toml is not a valid configuration"), "{said}");
    }
    for (name, value, told) in [
        ("TONGKUAN_OFFLINE", "ture", "TONGKUAN_OFFLINE is \"ture\": use 1, true"),
        ("TONGKUAN_DAILY_BUDGET", "-1", "TONGKUAN_DAILY_BUDGET is \"-1\": use a number"),
        ("TONGKUAN_MAX_FALSE_HIT", "2", "use a share above 0"),
        ("TONGKUAN_UPSTREAM", "article,tabao", "\"tabao\" is no upstream: use article, aop"),
    ] {
        let error = Scene::new("").with(name, value).resolve(Overrides::default()).unwrap_err();
        let said = error.to_string();
        assert!(error.code() == "variable" && said.contains(told), "{name}: {said}");
    }
    let absent = Overrides { config_file: Some(PathBuf::from("no-such.toml")), ..Overrides::default() };
    assert_eq!(Scene::new("").resolve(absent).unwrap_err().code(), "config_not_read");
    let both = Some(PathBuf::from("tape"));
    let both = Overrides { record: both.clone(), replay: both, ..Overrides::default() };
    assert_eq!(Scene::new("").resolve(both).unwrap_err().code(), "record_and_replay");
}

#[test]
fn a_secret_may_stand_in_a_file_and_is_never_shown() {
    let scene = Scene::new("");
    let path = scene.folder.path().join("secret");
    std::fs::write(&path, "hush-7788\n").unwrap();
    let config = format!("{KEYS}app_secret_file = {:?}\n", path.display().to_string());
    let settings = Scene::new(&config).settings();
    assert_eq!(settings.upstreams().len(), 1);
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Scene::new(&config).code(), "secret_not_read");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let raw = OsString::from_vec(b"hush\xff".to_vec());
        let error = Scene::new("").with("TONGKUAN_APP_SECRET", raw).resolve(Overrides::default());
        let said = error.map(|_| ()).unwrap_err().to_string();
        assert_eq!(said, "TONGKUAN_APP_SECRET is \"...\": it is not UTF-8");
    }
}

#[test]
fn offline_nothing_gets_leave_and_a_door_may_overrule_the_environment() {
    let scene = Scene::new("").with("TONGKUAN_OFFLINE", "yes");
    let settings = scene.settings();
    assert!(settings.is_offline() && settings.network("a test").is_err());
    assert_eq!(settings.network("a test").unwrap_err().code(), "offline");
    let online = Overrides { offline: Some(false), ..Overrides::default() };
    assert!(scene.resolve(online).unwrap().network("a test").is_ok());
}

#[test]
fn a_home_is_asked_for_before_it_is_made() {
    let scene = Scene::new("");
    let settings = scene.settings();
    assert!(!settings.has_home().unwrap());
    assert_eq!(settings.require_home().unwrap_err().code(), "no_home");
    drop(settings.home.open(|_| {}, |_| {}).unwrap());
    assert!(settings.require_home().is_ok());
}

#[test]
fn where_snapshots_of_the_index_are_shared_is_named_like_every_setting() {
    let folder = |settings: Settings| settings.index_snapshots;
    assert_eq!(folder(Scene::new("").settings()), None);
    let scene = Scene::new("index_snapshots = \"by-file\"");
    assert_eq!(folder(scene.settings()), Some(PathBuf::from("by-file")));
    let scene = scene.with("TONGKUAN_INDEX_SNAPSHOTS", "by-variable");
    assert_eq!(folder(scene.settings()), Some(PathBuf::from("by-variable")));
    let named = Overrides { index_snapshots: Some(PathBuf::from("named")), ..Overrides::default() };
    assert_eq!(folder(scene.resolve(named).unwrap()), Some(PathBuf::from("named")));
}

#[test]
fn which_index_answers_is_named_like_every_setting_and_homes_beside_have_their_own() {
    assert_eq!(Scene::new("").settings().index, IndexMode::Local);
    let scene = Scene::new("index = \"pgvector\"");
    assert_eq!(scene.settings().index, IndexMode::Pgvector);
    let beside = scene.settings().without_upstream(Path::new("scratch"));
    assert_eq!(beside.index, IndexMode::Local);
    let scene = scene.with("TONGKUAN_INDEX", "local");
    assert_eq!(scene.settings().index, IndexMode::Local);
    let named = Overrides { index: Some(IndexMode::Pgvector), ..Overrides::default() };
    assert_eq!(scene.resolve(named).unwrap().index, IndexMode::Pgvector);
    assert_eq!(Scene::new("").with("TONGKUAN_INDEX", "odd").code(), "variable");
    assert_eq!(Scene::new("index = \"odd\"").code(), "config_invalid");
}

#[test]
fn what_the_model_runs_on_is_named_like_every_setting_and_holds_for_homes_beside() {
    assert_eq!(Scene::new("").settings().provider, Provider::Cpu);
    let scene = Scene::new("provider = \"cuda\"");
    assert_eq!(scene.settings().provider, Provider::Cuda);
    assert_eq!(scene.settings().on_its_own(Path::new("scratch")).provider, Provider::Cuda);
    let scene = scene.with("TONGKUAN_PROVIDER", "openvino");
    assert_eq!(scene.settings().provider, Provider::OpenVino);
    let named = Overrides { provider: Some(Provider::Cpu), ..Overrides::default() };
    assert_eq!(scene.resolve(named).unwrap().provider, Provider::Cpu);
    assert_eq!(Scene::new("").with("TONGKUAN_PROVIDER", "gpu").code(), "variable");
    assert_eq!(Scene::new("provider = \"gpu\"").code(), "config_invalid");
}
