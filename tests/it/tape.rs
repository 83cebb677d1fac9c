//! What is said to and by upstreams can be written down and said again, and no secret is in it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};
use tongkuan::offer::OfferId;
use tongkuan::sandbox::{Fault, Faults, SandboxOptions};
use tongkuan::upstream::{
    AopConfig, LinkplusUpstream, OneboundConfig, OneboundUpstream, SearchParams, Secret, Tape, TapeError,
    UploadMediaType, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage,
};

use crate::battery::{APP_KEY, Door, PROFILES, REFRESH_TOKEN, SECRET, clock, picture_of, sandbox};
use crate::cli::{Ran, Shell, text};
use crate::upstream::loopback::{Answer, Loopback};

/// Every way in which a search can end, one after the other.
const FATES: [Option<Fault>; 6] = [
    None,
    Some(Fault::TooFast),
    Some(Fault::Truncated),
    Some(Fault::Cut),
    Some(Fault::TokenEnds),
    Some(Fault::MissingFields),
];

type Said = Vec<Result<UpstreamPage, UpstreamError>>;

fn searches(upstream: &dyn Upstream, picture: &UploadPicture, befalls: &dyn Fn(Option<Fault>)) -> Said {
    let params = SearchParams::default().page_size(3);
    let ask = |fate| {
        befalls(fate);
        upstream.search(picture, &params)
    };
    FATES.into_iter().map(ask).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_recorded_run_says_the_same_again_when_the_upstream_is_gone_and_holds_no_secret() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let open = sandbox(&clock, SandboxOptions::default());
    let mut recorded: Vec<(&str, UploadPicture, Said)> = Vec::new();
    for profile in PROFILES {
        let path = folder.path().join(profile);
        let tape = Some(Arc::new(Tape::record(&path).unwrap()));
        let upstream = Door { tape, ..Door::to(&open, &clock) }.client(profile);
        let picture = picture_of(&open, 7, upstream.as_ref());
        let said = searches(upstream.as_ref(), &picture, &|fate| open.inject(Faults::script(fate)));
        assert!(said[0].is_ok() && said[1..4].iter().all(Result::is_err), "{profile}: {said:?}");

        let text = std::fs::read_to_string(&path).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&picture.bytes);
        let mut secrets = vec![SECRET, REFRESH_TOKEN, "sandbox-token-", &base64[..60]];
        if profile == "onebound" {
            secrets.push(APP_KEY);
        }
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in the recording of {profile}");
        }
        let searched = lines(&path);
        assert!(searched.iter().all(|line| line["profile"] == profile));
        if matches!(profile, "aop" | "linkplus") {
            let signed = |line: &&Value| line["params"]["_aop_signature"] == "***";
            assert!(searched.iter().filter(signed).count() >= FATES.len());
        }
        if profile == "article" {
            let sent = &searched[1]["params"]["image"];
            assert_eq!(
                (&sent["bytes"], sent["sha256"].as_str().unwrap().len()),
                (&picture.bytes.len().into(), 64)
            );
        }
        recorded.push((profile, picture, said));
    }
    let nobody = Door { secret: "another-secret", ..Door::to(&open, &clock) };
    drop(open);
    for (profile, picture, said) in recorded {
        let tape = Some(Arc::new(Tape::replay(&folder.path().join(profile)).unwrap()));
        let upstream = Door { tape, ..nobody.clone() }.client(profile);
        assert_eq!(searches(upstream.as_ref(), &picture, &|_| {}), said, "{profile}");
        let ended = upstream.search(&picture, &SearchParams::default()).unwrap_err();
        assert!(ended.code == "replay" && ended.message.contains("has ended"), "{ended}");
    }
}

#[test]
fn another_request_than_the_recorded_one_is_refused_and_says_what_differs() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let open = sandbox(&clock, SandboxOptions::default());
    let path = folder.path().join("tape");
    let door = Door::to(&open, &clock);
    let recording = Door { tape: Some(Arc::new(Tape::record(&path).unwrap())), ..door.clone() }.client("aop");
    let id = OfferId::new(open.catalogue().goods()[3].offer_id.to_string()).unwrap();
    let known = recording.details(&id).unwrap();
    let replay = || Door { tape: Some(Arc::new(Tape::replay(&path).unwrap())), ..door.clone() }.client("aop");
    assert_eq!(replay().details(&id).unwrap(), known);
    let other = replay().details(&OfferId::new("1").unwrap()).unwrap_err();
    assert!(other.message.contains("another value of offerDetailParam"), "{other}");
    let upstream = replay();
    let picture = picture_of(&open, 7, upstream.as_ref());
    let search = upstream.search(&picture, &SearchParams::default()).unwrap_err();
    assert!(search.message.contains("queryProductDetail") && search.message.contains("upload"), "{search}");
    assert_eq!(search.kind, UpstreamErrorKind::Unsupported);
    assert_eq!(open.counters().details_ok, 1);
}

#[test]
fn a_secret_that_the_upstream_says_back_is_blotted_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape");
    let server = Loopback::new(|request| {
        let secret = request.query_field("secret").unwrap();
        let said = format!("you sent {} with {secret}", request.target);
        Answer::Json(200, json!({ "error_code": "4003", "reason": said }))
    });
    let config = OneboundConfig {
        base_url: server.base.clone(),
        tape: Some(Arc::new(Tape::record(&path).unwrap())),
        // In an address and in JSON it looks different.
        ..OneboundConfig::new(Secret::new("key-3f"), Secret::new("secret \"8b/+"))
    };
    let upstream = OneboundUpstream::new(config, clock()).unwrap();
    upstream.check().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("you sent") && !text.contains("key-3f") && !text.contains("8b"), "{text}");
}

#[test]
fn an_address_is_recorded_without_the_parts_that_may_be_somebodys_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape");
    let server = Loopback::new(|request| {
        let url = request.form_field("picUrl").unwrap();
        let message = format!("handle image error with url {url}");
        Answer::Json(200, json!({ "success": false, "code": "SYSTEM_ERROR", "message": message }))
    });
    let clock = clock();
    let tape = Some(Arc::new(Tape::record(&path).unwrap()));
    let config = AopConfig {
        base_url: server.base.clone(),
        access_token: Some(Secret::new("access-token-4c")),
        tape,
        ..AopConfig::new(APP_KEY, Secret::new(SECRET))
    };
    let upstream = LinkplusUpstream::new(config, clock).unwrap();
    let picture = UploadPicture {
        bytes: vec![1],
        media_type: UploadMediaType::Jpeg,
        width_px: 1,
        height_px: 1,
        region: None,
        source_url: Some("https://user:word@shop.example/a.jpg?sign=theirs#part".to_owned()),
    };
    let error = upstream.search(&picture, &SearchParams::default()).unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Image);
    let [line] = <[Value; 1]>::try_from(lines(&path)).unwrap();
    assert_eq!(line["params"]["picUrl"], "https://shop.example/a.jpg");
    assert_eq!(
        line["path"],
        "/openapi/param2/1/com.alibaba.linkplus/alibaba.cross.similar.offer.search/{app_key}"
    );
    let text = line.to_string();
    assert!(
        !text.contains("theirs") && !text.contains("word") && !text.contains("access-token-4c"),
        "{text}"
    );
}

#[test]
fn a_recording_is_never_written_over_and_a_damaged_one_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape");
    std::fs::write(&path, "{\"half\n").unwrap();
    assert!(matches!(Tape::record(&path), Err(TapeError::Create { .. })));
    let damaged = Tape::replay(&path).unwrap_err();
    assert!(matches!(damaged, TapeError::Line { line: 1, .. }), "{damaged}");
    std::fs::write(&path, b"\xFF\xD8\xFF\xE0 a picture").unwrap();
    let picture = Tape::replay(&path).unwrap_err();
    assert!(matches!(picture, TapeError::Line { line: 1, .. }), "{picture}");
    assert!(matches!(Tape::replay(&folder.path().join("none")), Err(TapeError::Read { .. })));
}

#[test]
fn the_command_records_a_search_and_replays_it_without_upstream_or_credentials() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let first = shell.run(&["--json", "search", "--record", "tape.ndjson", text(&picture)]).json();
    assert_eq!(first["upstream_calls"], 1, "{first}");
    let again = shell.run(&["search", "--record", "tape.ndjson", text(&picture)]);
    assert!(again.status == 2 && again.err.contains("does not exist yet"), "{again:?}");
    let mut command = shell.command(&["--json", "search", "--replay", "tape.ndjson", text(&picture)]);
    shell.write("empty.toml", b"");
    command.env("TONGKUAN_HOME", shell.path("another-home")).env("TONGKUAN_CONFIG", shell.path("empty.toml"));
    let replayed = Ran::of(command.env_remove("TONGKUAN_APP_SECRET")).json();
    // All but the moment at which it was said again.
    let offers = |answer: &serde_json::Value| {
        let mut offers = answer["offers"].as_array().unwrap().clone();
        for offer in &mut offers {
            offer["seen_at"] = serde_json::Value::Null;
        }
        offers
    };
    assert_eq!((&replayed["upstream_calls"], offers(&replayed)), (&1.into(), offers(&first)));
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
    let text = std::fs::read_to_string(shell.path("tape.ndjson")).unwrap();
    assert!(text.lines().count() == 2 && !text.contains("sandbox-secret") && !text.contains("sandbox-token"));
}
