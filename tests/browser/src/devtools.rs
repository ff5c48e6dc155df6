//! Chromium and the pipe it is told what to do through: messages of its DevTools protocol, each ended by a zero byte.

use serde_json::{Value, json};
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Chromium answers within milliseconds; this long on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--disable-gpu",
    // Containers have a small /dev/shm.
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // What Chromium asks for on its own account does not leave the machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A running Chromium with one page.
pub struct DevTools {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    events: Vec<Value>,
    profile: TempDir,
}

impl DevTools {
    /// Starts it with a profile of its own.
    pub fn start() -> Self {
        let profile = TempDir::new().expect("a folder for Chromium's profile");
        let errors = File::create(profile.path().join("stderr")).expect("a file for Chromium's messages");
        let mut command = Command::new("sh");
        // Chromium reads from descriptor 3 and writes to 4.
        command.args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"]).arg(program()).args(ARGUMENTS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        if fs::metadata("/proc/self").expect("/proc").uid() == 0 {
            // It refuses to start as root with its sandbox.
            command.arg("--no-sandbox");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut process = command.spawn().expect("sh");
        let input = process.stdin.take().expect("stdin is a pipe");
        let output = process.stdout.take().expect("stdout is a pipe");
        let (sender, messages) = channel();
        spawn(move || read(output, &sender));

        let mut this = Self { process, input, messages, session: None, last_id: 0, events: Vec::new(), profile };
        let target = this.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = this.call("Target.attachToTarget", attach);
        this.session = session["sessionId"].as_str().map(str::to_owned);
        this
    }

    /// Calls a method and waits for its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("Chromium refuses {method}: {error}"))
    }

    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        let id = self.send(method, parameters);
        loop {
            let mut message = self.receive(method);
            if message["id"] != id {
                self.keep(message);
            } else if message["error"].is_null() {
                return Ok(message["result"].take());
            } else {
                return Err(message["error"].take());
            }
        }
    }

    /// The value of a JavaScript expression, which may be a promise.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Goes to an address, and waits until the page is there whole.
    pub fn go(&mut self, url: &str) {
        self.evaluate("window.isLeft = true");
        self.call("Page.navigate", json!({ "url": url }));
        assert!(self.wait_until("!window.isLeft"), "{url} is not loaded");
    }

    /// Waits until a page is there whole, and an expression is true; whether that comes to be.
    pub fn wait_until(&mut self, condition: &str) -> bool {
        let expression = format!("document.readyState === 'complete' && Boolean({condition})");
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            // While one page goes and another comes, nobody answers.
            if self.try_call("Runtime.evaluate", parameters.clone()).is_ok_and(|is| is["result"]["value"] == true) {
                return true;
            }
            sleep(Duration::from_millis(30));
        }
        false
    }

    /// Ends it; returns all events there were.
    pub fn close(mut self) -> Vec<Value> {
        // What happened before this answer has been told before it.
        self.call("Browser.getVersion", json!({}));
        std::mem::take(&mut self.events)
    }

    fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        // If it is gone, the next receive says so.
        let _ = self.input.write_all(format!("{message}\0").as_bytes());
        self.last_id
    }

    fn receive(&mut self, wanted: &str) -> Value {
        self.messages.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let said = fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default();
            panic!("waiting for Chromium ({wanted}): {error}; it said:\n{said}")
        })
    }

    fn keep(&mut self, message: Value) {
        if message["method"] == "Page.javascriptDialogOpening" {
            // The page waits for it, and so would the test.
            self.send("Page.handleJavaScriptDialog", json!({ "accept": true }));
        }
        self.events.push(message);
    }
}

impl Drop for DevTools {
    fn drop(&mut self) {
        self.session = None;
        self.send("Browser.close", json!({}));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.process.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(output: ChildStdout, sender: &Sender<Value>) {
    let mut output = BufReader::new(output);
    let mut message = Vec::new();
    while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
        message.pop();
        let Ok(value) = serde_json::from_slice(&message) else { return };
        if sender.send(value).is_err() {
            return;
        }
        message.clear();
    }
}

fn program() -> PathBuf {
    if let Some(program) = env::var_os("CHROMIUM").filter(|program| !program.is_empty()) {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .iter()
        .find_map(|name| env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file()))
        .unwrap_or_else(|| panic!("there is no Chromium ({}): `make setup-tests` installs it", names.join(", ")))
}
