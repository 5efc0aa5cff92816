//! Chromium without a window, driven by WebDriver as its own driver speaks it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use satisflow_testkit::{free_port, script, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::place::LIMIT;

/// The key of an element in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys as WebDriver names them.
pub const ENTER: &str = "\u{e007}";
pub const CONTROL: &str = "\u{e009}";
pub const TAB: &str = "\u{e004}";
pub const LEFT: &str = "\u{e012}";
pub const DOWN: &str = "\u{e015}";

/// A browser with one page; it ends with the test.
pub struct Browser {
    driver: Child,
    session: String,
    client: reqwest::blocking::Client,
    /// Where it keeps what it downloads.
    pub folder: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session is what ends the browser; the driver may have gone already.
        let _ = self.client.delete(&self.session).send();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    pub fn start(language: &str) -> Browser {
        Browser::start_with(language, &[])
    }

    /// With more arguments of the browser's own.
    pub fn start_with(language: &str, more: &[String]) -> Browser {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let log = std::fs::File::create(folder.path().join("driver.log")).unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: `make setup` installs it");
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let is_ready =
            || client.get(format!("{base}/status")).send().ok()?.json::<Value>().ok()?["value"]["ready"].as_bool();
        wait_for("chromedriver is ready", LIMIT, || is_ready().filter(|ready| *ready)).unwrap();
        let profile = folder.path().join("profile");
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.extend([format!("--lang={language}"), format!("--user-data-dir={}", profile.display())]);
        arguments.extend_from_slice(more);
        let options = json!({
            "args": arguments,
            "prefs": {"download.default_directory": folder.path(), "intl.accept_languages": language},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "timeouts": {"script": 180_000},
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let answer: Value = client.post(format!("{base}/session")).json(&wanted).send().unwrap().json().unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Browser { session: format!("{base}/session/{id}"), driver, client, folder }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let sent = self.client.post(format!("{}/{path}", self.session)).json(body).send().unwrap();
        let answer: Value = sent.json().unwrap();
        assert!(answer["value"].get("error").is_none(), "{path} {body}: {answer}");
        answer["value"].clone()
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Shows the window as one of a size, a phone's below 500.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Prefers dark or light, as the system does.
    pub fn prefer(&self, colours: &str) {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": colours}]});
        self.devtools("Emulation.setEmulatedMedia", &feature);
    }

    /// Logs in with each request, as after the browser's own dialogue.
    pub fn log_in(&self, user: &str, password: &str) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        self.devtools("Network.enable", &json!({}));
        let headers = json!({"headers": {"Authorization": format!("Basic {credentials}")}});
        self.devtools("Network.setExtraHTTPHeaders", &headers);
    }

    pub fn open(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    /// What a script returns.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// What a script gives to its last argument.
    pub fn run_async(&self, script: &str) -> Value {
        self.post("execute/async", &json!({"script": script, "args": []}))
    }

    pub fn wait(&self, what: &str, script: &str) -> Value {
        let found =
            wait_for(what, LIMIT, || Some(self.run(script, &[])).filter(|v| !v.is_null() && *v != json!(false)));
        found.unwrap_or_else(|error| panic!("{error}: {}", self.text("body")))
    }

    /// The text that is seen of the first element.
    pub fn text(&self, selector: &str) -> String {
        let text = self.run("return document.querySelector(arguments[0])?.innerText ?? null", &[selector.into()]);
        text.as_str().unwrap_or_default().to_owned()
    }

    pub fn count(&self, selector: &str) -> u64 {
        self.run("return document.querySelectorAll(arguments[0]).length", &[selector.into()]).as_u64().unwrap()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("element", &json!({"using": "css selector", "value": selector}));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub fn click(&self, selector: &str) {
        self.post(&format!("element/{}/click", self.element(selector)), &json!({}));
    }

    pub fn send(&self, selector: &str, keys: &str) {
        self.post(&format!("element/{}/value", self.element(selector)), &json!({"text": keys}));
    }

    /// Presses keys wherever the focus is.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// A picture as PNG, in base 64.
    pub fn picture(&self) -> String {
        self.client.get(format!("{}/screenshot", self.session)).send().unwrap().json::<Value>().unwrap()["value"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// As axe-core sees it.
    pub fn is_accessible(&self, what: &str) {
        self.run(&std::fs::read_to_string(script("fetch-axe.sh").unwrap()).unwrap(), &[]);
        let found = self.run_async(
            "const done = arguments[0]; axe.run().then((found) => done(found.violations.map((one) => \
             [one.id, one.help, one.nodes.map((node) => node.html + ' ' + node.failureSummary)])), (error) => done(String(error)))",
        );
        assert_eq!(found, json!([]), "{what}: {found:#}");
    }

    /// Forgets every cookie, as at the end of a session.
    pub fn forget_cookies(&self) {
        self.devtools("Network.clearBrowserCookies", &json!({}));
    }

    /// What the console was told since the last time.
    pub fn console(&self) -> Vec<Value> {
        self.post("se/log", &json!({"type": "browser"})).as_array().unwrap().clone()
    }

    /// Where pages, other than the browser's own, have sent requests to since the last time.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "performance"}));
        let messages =
            entries.as_array().unwrap().iter().map(|entry| {
                serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()["message"].clone()
            });
        let of_page = |message: &Value| {
            let document = message["params"]["documentURL"].as_str().unwrap_or_default();
            message["method"] == "Network.requestWillBeSent" && document.starts_with("http")
        };
        let sent = messages.filter(of_page);
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }
}
