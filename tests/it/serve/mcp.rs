//! The tool for agents, with a real client of the protocol: what it answers, and what it never does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, ProgressNotificationParam, Tool,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RunningService};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::sync::watch;
use tongkuan::clock::Clock as _;
use tongkuan::serve::{McpOptions, McpParts, McpServer};

use super::{Service, engine_of, json, problem};
use crate::cli::Shell;
use crate::fakes::{Bench, png};

/// A client that writes down how far its calls are.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Vec<String>>>);

impl ClientHandler for Client {
    async fn on_progress(&self, told: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.lock().unwrap().push(told.message.unwrap_or_default());
    }
}

/// A client and a server at the ends of one stream, and a runtime that both run on.
struct Connected {
    bench: Bench,
    runtime: tokio::runtime::Runtime,
    client: RunningService<RoleClient, Client>,
    progress: Arc<Mutex<Vec<String>>>,
    _stop: watch::Sender<u32>,
}

impl Connected {
    fn new(options: &McpOptions) -> Self {
        let bench = Bench::new();
        let parts = McpParts { engine: engine_of(&bench), fetcher: None, clock: bench.clock.clone() };
        let server = McpServer::new(parts, options).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (here, there) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = watch::channel(0);
        let (read, write) = tokio::io::split(there);
        runtime.spawn(server.serve(read, write, stopped));
        let handler = Client::default();
        let progress = Arc::clone(&handler.0);
        let client = runtime.block_on(rmcp::serve_client(handler, here)).unwrap();
        Self { bench, runtime, client, progress, _stop: stop }
    }

    fn call(&self, tool: &'static str, arguments: &Value) -> CallToolResult {
        self.runtime.block_on(self.client.call_tool(params(tool, arguments))).unwrap()
    }

    /// The structured answer, which has to fit the schema that the tool has promised.
    fn answer(&self, tool: &'static str, arguments: &Value) -> Value {
        let result = self.call(tool, arguments);
        assert_ne!(result.is_error, Some(true), "{result:?}");
        let answer = result.structured_content.clone().unwrap();
        let schema = self.tool(tool).output_schema.unwrap();
        fits(&Value::Object((*schema).clone()), &answer, tool);
        assert!(text_of(&result).contains("This cost "), "{result:?}");
        answer
    }

    fn tool(&self, name: &str) -> Tool {
        let tools = self.runtime.block_on(self.client.list_all_tools()).unwrap();
        tools.into_iter().find(|tool| tool.name == name).unwrap()
    }

    /// The error's code, which stands in the text, too.
    fn refusal(&self, tool: &'static str, arguments: &Value) -> String {
        let result = self.call(tool, arguments);
        assert_eq!(result.is_error, Some(true), "{result:?}");
        let error = serde_json::to_value(&result).unwrap()["_meta"]["tongkuan/error"].clone();
        let code = error["code"].as_str().unwrap().to_owned();
        let text = text_of(&result);
        assert!(text.starts_with(&format!("error {code}: ")) && text.contains("\nWhat to do: "), "{text}");
        code
    }
}

fn params(tool: &'static str, arguments: &Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
}

fn text_of(result: &CallToolResult) -> String {
    result.content[0].as_text().unwrap().text.clone()
}

fn base64(seed: u32) -> Value {
    json!({"image": STANDARD.encode(png(seed)), "label": format!("{seed}.png")})
}

/// Whether a value has all that a schema requires, nothing that it does not name, and the kinds that it says.
fn fits(schema: &Value, value: &Value, place: &str) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(either) = schema["anyOf"].as_array() {
        let schema = either.iter().find(|schema| schema["type"] == kind);
        return fits(schema.unwrap_or_else(|| panic!("{place} is {kind}")), value, place);
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        one => vec![one.clone()],
    };
    let is_one = |name: &Value| name == kind || (kind == "integer" && name == "number");
    assert!(kinds.iter().any(is_one), "{place} is {kind}: {schema}");
    for (name, value) in value.as_object().into_iter().flatten() {
        assert!(schema["properties"][name].is_object(), "{place}.{name} is not described");
        fits(&schema["properties"][name], value, &format!("{place}.{name}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter(|_| value.is_object()) {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{place}.{name} is missing");
    }
    for value in value.as_array().into_iter().flatten() {
        fits(&schema["items"], value, &format!("{place}[]"));
    }
}

#[test]
fn an_agent_that_may_not_spend_never_calls_upstream() {
    let agent = Connected::new(&McpOptions::default());
    for arguments in [
        json!({"picture": base64(1)}),
        json!({"picture": base64(1), "spend": true}),
        json!({"picture": base64(1), "spend": true, "refresh": true}),
    ] {
        let answer = agent.answer("search_picture", &arguments);
        assert_eq!((&answer["verdict"], &answer["source"]), (&json!("miss"), &json!("none")));
        assert_eq!(answer["not_asked"]["reason"], "spend_not_allowed");
        assert_eq!(
            (&answer["cost"]["upstream_calls"], &answer["cost"]["calls_left_here"]),
            (&json!(0), &json!(0))
        );
    }
    for spend in [false, true] {
        let answer = agent.answer("offer_details", &json!({"offer_id": "11", "spend": spend}));
        assert_eq!(
            (&answer["detail"], &answer["not_asked"]["reason"]),
            (&Value::Null, &json!("spend_not_allowed"))
        );
    }
    assert_eq!(
        agent.refusal("search_picture", &json!({"picture": base64(1), "refresh": true})),
        "request_invalid"
    );
    assert_eq!(agent.bench.calls(), 0);
}

#[test]
fn an_agent_spends_where_it_says_so_and_no_more_than_it_was_allowed() {
    let agent = Connected::new(&McpOptions { allow_spend: 1, ..McpOptions::default() });
    let search =
        |seed, spend: bool| agent.answer("search_picture", &json!({"picture": base64(seed), "spend": spend}));
    let not = search(1, false);
    assert_eq!((&not["not_asked"]["reason"], agent.bench.calls()), (&json!("spend_not_requested"), 0));
    assert_eq!(not["cost"]["calls_left_here"], 1);
    let paid = search(1, true);
    assert_eq!((&paid["verdict"], &paid["source"]), (&json!("miss"), &json!("upstream")));
    assert_eq!((&paid["cost"]["upstream_calls"], &paid["cost"]["calls_left_here"]), (&json!(1), &json!(0)));
    assert_eq!(paid["not_asked"], Value::Null);
    let known = search(1, true);
    assert_eq!((&known["verdict"], &known["rule"]), (&json!("hit"), &json!("same_bytes")));
    assert_eq!((&known["offers"], &known["age"]["age_secs"]), (&paid["offers"], &json!(0)));
    assert_eq!((&known["cost"]["upstream_calls"], &known["not_asked"]), (&json!(0), &Value::Null));
    let spent = search(2, true);
    assert_eq!(spent["not_asked"]["reason"], "spend_limit_reached");
    assert_eq!(agent.bench.calls(), 1);
}

#[test]
fn a_call_that_fails_unpaid_is_given_back_to_the_agent_and_one_that_was_paid_is_not() {
    use tongkuan::upstream::UpstreamErrorKind;
    let agent = Connected::new(&McpOptions { allow_spend: 2, ..McpOptions::default() });
    let search = |seed| agent.answer("search_picture", &json!({"picture": base64(seed), "spend": true}));
    agent.bench.upstream.fail_with(UpstreamErrorKind::Quota);
    let refused = search(1);
    assert_eq!(refused["not_asked"]["reason"], "quota_spent");
    let billed = refused["cost"]["upstream_calls"].as_u64().unwrap();
    assert_eq!(refused["cost"]["calls_left_here"].as_u64().unwrap(), 2 - billed);
}

#[test]
fn an_answer_says_how_old_it_and_its_prices_are() {
    let agent = Connected::new(&McpOptions { allow_spend: 1, ..McpOptions::default() });
    agent.answer("search_picture", &json!({"picture": base64(1), "spend": true}));
    agent.bench.clock.sleep(std::time::Duration::from_hours(72));
    let result = agent.call("search_picture", &json!({"picture": base64(1)}));
    let answer = result.structured_content.clone().unwrap();
    assert_eq!((&answer["verdict"], &answer["age"]["age_secs"]), (&json!("hit"), &json!(259_200)));
    assert_eq!(answer["offers"][0]["price_age_secs"], 259_200);
    let text = text_of(&result);
    assert!(text.contains("2 offers are stored, told 3 days ago") && text.contains("¥59.00"), "{text}");
    assert!(text.contains("This cost 0 calls."), "{text}");
    let few = agent.call("search_picture", &json!({"picture": base64(1), "max_offers": 1}));
    assert!(text_of(&few).contains("\n  and 1 more\n"), "{few:?}");
    assert_eq!(few.structured_content.unwrap()["offers_left_out"], 1);
}

#[test]
fn a_picture_is_stored_only_where_its_user_has_allowed_it() {
    let reader = Connected::new(&McpOptions::default());
    let add = json!({"picture": base64(4), "add": true, "key": "sku-4"});
    assert_eq!(reader.refusal("check_picture", &add), "add_not_allowed");
    assert_eq!(reader.answer("check_picture", &json!({"picture": base64(4)}))["outcome"], "new");
    assert_eq!(reader.answer("check_picture", &json!({"picture": base64(4)}))["outcome"], "new");
    let writer = Connected::new(&McpOptions { allow_add: true, ..McpOptions::default() });
    let added = writer.answer("check_picture", &add);
    assert_eq!((&added["outcome"], &added["added"]), (&json!("new"), &json!(true)));
    let seen = writer.answer("check_picture", &add);
    assert_eq!((&seen["outcome"], &seen["matched"]["label"]), (&json!("seen"), &json!("sku-4")));
    assert_eq!((&seen["matched_age_secs"], &seen["matched"]["photo_id"]), (&json!(0), &added["photo_id"]));
    let similar = writer.answer("similar_pictures", &json!({"picture": base64(4), "count": 3}));
    assert_eq!(similar["similar"][0]["photo_id"], added["photo_id"]);
    assert_eq!((reader.bench.calls(), writer.bench.calls()), (0, 0));
}

#[test]
fn tools_tell_truly_what_they_may_do() {
    for (allow_spend, allow_add) in [(0, false), (3, true)] {
        let agent = Connected::new(&McpOptions { allow_spend, allow_add, ..McpOptions::default() });
        let read_only = |tool: &str| agent.tool(tool).annotations.unwrap().read_only_hint;
        assert_eq!(read_only("search_picture"), Some(allow_spend == 0));
        assert_eq!(read_only("offer_details"), Some(allow_spend == 0));
        assert_eq!(read_only("check_picture"), Some(!allow_add));
        for tool in ["similar_pictures", "quota"] {
            assert_eq!(read_only(tool), Some(true));
            assert_eq!(agent.tool(tool).annotations.unwrap().open_world_hint, Some(false));
        }
        let open_world = agent.tool("search_picture").annotations.unwrap().open_world_hint;
        assert_eq!(open_world, Some(allow_spend > 0));
        let properties = &agent.tool("search_picture").input_schema["properties"]["picture"]["properties"];
        // Nothing can be fetched here.
        assert!(properties["path"].is_object() && properties["url"].is_null(), "{properties}");
    }
}

#[test]
fn files_are_read_below_the_opened_folders_alone_and_mistakes_are_told_with_a_remedy() {
    let place = tempfile::tempdir().unwrap();
    let open = place.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::write(open.join("a.png"), png(1)).unwrap();
    std::fs::write(place.path().join("b.png"), png(1)).unwrap();
    let agent = Connected::new(&McpOptions { roots: vec![open], ..McpOptions::default() });
    let answer = agent.answer("search_picture", &json!({"picture": {"path": "a.png"}}));
    assert_eq!(answer["verdict"], "miss");
    let outside = place.path().join("b.png");
    for (picture, code) in [
        (json!({"path": outside}), "path_outside"),
        (json!({"path": "../b.png"}), "path_outside"),
        (json!({"path": "none.png"}), "io"),
        (json!({"path": "a.png", "image": "QQ=="}), "request_invalid"),
        (json!({}), "request_invalid"),
        (json!({"image": "QQ=="}), "not_a_picture"),
        (json!({"image": "***"}), "request_invalid"),
        (json!({"pathh": "a.png"}), "request_invalid"),
        (json!({"url": "file:///etc/passwd"}), "request_invalid"),
    ] {
        assert_eq!(agent.refusal("search_picture", &json!({"picture": picture})), code, "{picture}");
    }
    let unknown = agent.runtime.block_on(agent.client.call_tool(params("no_such_tool", &json!({}))));
    assert!(unknown.unwrap_err().to_string().contains("there is no tool"));
}

#[test]
fn a_call_that_is_taken_back_ends_and_what_it_had_paid_for_is_kept() {
    let agent = Connected::new(&McpOptions { allow_spend: 5, ..McpOptions::default() });
    let held = agent.bench.upstream.hanging.lock().unwrap();
    let request =
        CallToolRequest::new(params("search_picture", &json!({"picture": base64(1), "spend": true})));
    let asking = agent
        .client
        .peer()
        .send_cancellable_request(ClientRequest::CallToolRequest(request), PeerRequestOptions::no_options());
    let asking = agent.runtime.block_on(asking).unwrap();
    while agent.bench.calls() == 0 {
        std::thread::yield_now();
    }
    agent.runtime.block_on(asking.cancel(None)).unwrap();
    drop(held);
    // The answer is stored as soon as it is there.
    while agent.answer("search_picture", &json!({"picture": base64(1)}))["verdict"] != "hit" {
        std::thread::yield_now();
    }
    assert_eq!(agent.bench.calls(), 1);
}

#[test]
fn a_client_that_wants_to_know_hears_how_far_a_call_is() {
    let agent = Connected::new(&McpOptions::default());
    agent.answer("search_picture", &json!({"picture": base64(1)}));
    // The client takes note on a task of its own, which the answer may overtake.
    let until = std::time::Instant::now() + super::PATIENCE;
    let is_told = || {
        let told = agent.progress.lock().unwrap();
        told.iter().any(|message| message.contains("looking whether it is known"))
    };
    while !is_told() {
        assert!(std::time::Instant::now() < until, "{:?}", agent.progress.lock().unwrap());
        std::thread::yield_now();
    }
}

#[test]
fn the_quota_tells_what_is_left_here_and_at_each_upstream() {
    let agent = Connected::new(&McpOptions { allow_spend: 4, ..McpOptions::default() });
    agent.answer("search_picture", &json!({"picture": base64(1), "spend": true}));
    agent.answer("search_picture", &json!({"picture": base64(1), "spend": true}));
    let quota = agent.answer("quota", &json!({}));
    assert_eq!((&quota["calls_saved_ever"], &quota["cost"]["calls_left_here"]), (&json!(1), &json!(3)));
    let upstream = &quota["cost"]["upstreams"][0];
    assert_eq!((&upstream["profile"], &upstream["calls_left_today"]), (&json!("fake"), &json!(499)));
}

/// A request of the protocol over HTTP, without a session.
fn ask(service: &Service, key: Option<&str>, method: &str, params: &Value) -> reqwest::blocking::Response {
    let request = service
        .post("/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-06-18")
        .json(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
    let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
    request.send().unwrap()
}

fn search_over_http(service: &Service, key: Option<&str>, seed: u32) -> Value {
    let params = json!({"name": "search_picture", "arguments": {"picture": base64(seed), "spend": true}});
    json(ask(service, key, "tools/call", &params))["result"].clone()
}

#[test]
fn over_http_an_agent_spends_by_a_key_with_a_budget_of_its_own_and_nothing_else() {
    let service = Service::start();
    let info = json(ask(
        &service,
        None,
        "initialize",
        &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}),
    ));
    assert_eq!(info["result"]["serverInfo"]["name"], "tongkuan");
    let tools = json(ask(&service, None, "tools/list", &json!({})))["result"]["tools"].clone();
    assert_eq!(tools.as_array().unwrap().len(), 5);
    assert!(tools[0]["inputSchema"]["properties"]["picture"]["properties"]["path"].is_null());
    // Nobody looks at each step, so the owner of the machine, too, has to make a key for it.
    let not = search_over_http(&service, None, 1);
    assert_eq!(not["structuredContent"]["not_asked"]["reason"], "spend_not_allowed");
    let unbounded = service.key("unbounded", "read,spend", None);
    let not = search_over_http(&service, Some(unbounded.expose()), 1);
    assert_eq!(not["structuredContent"]["not_asked"]["reason"], "spend_not_allowed");
    assert_eq!(service.bench.calls(), 0);
    let agent = service.key("agent", "read,spend", Some(1));
    let paid = search_over_http(&service, Some(agent.expose()), 1);
    assert_eq!(paid["structuredContent"]["cost"]["upstream_calls"], 1);
    assert_eq!(paid["structuredContent"]["cost"]["calls_left_here"], 0);
    let spent = search_over_http(&service, Some(agent.expose()), 2);
    assert_eq!(spent["structuredContent"]["not_asked"]["reason"], "spend_limit_reached");
    assert_eq!(service.bench.calls(), 1);
    let add = json!({"name": "check_picture", "arguments": {"picture": base64(1), "add": true}});
    let refused = json(ask(&service, Some(agent.expose()), "tools/call", &add));
    assert_eq!(refused["result"]["_meta"]["tongkuan/error"]["code"], "add_not_allowed");
    let path = json!({"name": "search_picture", "arguments": {"picture": {"path": "/etc/hostname"}}});
    let refused = json(ask(&service, Some(agent.expose()), "tools/call", &path));
    assert_eq!(refused["result"]["_meta"]["tongkuan/error"]["code"], "path_outside");
}

#[test]
fn over_http_agents_pass_the_same_door_as_everybody() {
    let service = Service::start();
    let list = |name: &str, value: &str| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let request =
            service.post("/mcp").header("accept", "application/json, text/event-stream").json(&body);
        problem(request.header(name, value).send().unwrap())
    };
    assert_eq!(list("origin", "https://evil.example"), (403, "origin_refused".to_owned()));
    assert_eq!(list("host", "evil.example"), (421, "host_refused".to_owned()));
    assert_eq!(list("authorization", "Bearer nonsense"), (401, "key_unknown".to_owned()));
    assert_eq!(problem(service.get("/mcp")), (405, "method_not_allowed".to_owned()));
    let writer = service.key("writer", "write", None);
    let refused = problem(ask(&service, Some(writer.expose()), "tools/list", &json!({})));
    assert_eq!(refused, (403, "key_forbidden".to_owned()));
    assert_eq!(problem(ask(&service, None, "tools/list", &json!({}))), (401, "key_missing".to_owned()));
}

#[test]
fn the_program_speaks_nothing_but_the_protocol_and_ends_with_its_parent() {
    let shell = Shell::with_sandbox();
    shell.sandbox().warm_up();
    shell.good(3, "a.jpg");
    let mut child = shell
        .command(&["mcp", "--allow-spend", "1", "--log", "info"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap());
    let mut tell = |value: Value| writeln!(to, "{value}").unwrap();
    let mut hear = || {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|_| panic!("{line:?}"))
    };
    let client = json!({"name": "test", "version": "1"});
    tell(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}}));
    assert_eq!(hear()["result"]["protocolVersion"], "2025-06-18");
    tell(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let mut search = |id: u32, spend: bool| {
        let arguments = json!({"picture": {"path": "a.jpg"}, "spend": spend});
        tell(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "search_picture", "arguments": arguments}}));
        let told = hear();
        assert_eq!(told["id"], id);
        told["result"]["structuredContent"].clone()
    };
    assert_eq!(search(2, false)["not_asked"]["reason"], "spend_not_requested");
    assert_eq!(search(3, true)["cost"]["upstream_calls"], 1);
    assert_eq!(search(4, true)["verdict"], "hit");
    for (line, id, code) in [
        ("no JSON".to_owned(), Value::Null, -32700),
        (json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "quota", "arguments": [1]}}).to_string(), json!(5), -32602),
        (json!({"jsonrpc": "2.0", "id": 6, "method": "no/such"}).to_string(), json!(6), -32601),
    ] {
        writeln!(to, "{line}").unwrap();
        let told = hear();
        assert_eq!((&told["id"], &told["error"]["code"]), (&id, &json!(code)), "{told}");
    }
    drop(to);
    let ended = child.wait_with_output().unwrap();
    let logged = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{logged}");
    assert!(logged.contains("search_picture") && !logged.contains("sandbox-secret"), "{logged}");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut from, &mut rest).unwrap();
    assert_eq!(rest, "");
}
