//! A browser for tests: headless Chromium, asked through a pipe in its `DevTools` protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>). What it says of its own accord (requests, messages of the console,
//! errors) is kept, so that a test can say that there was none.
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};

/// A running browser with one page; ended when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
    dir: PathBuf,
}

impl Browser {
    /// Starts one, with its files in a new folder `dir`; `None` where there is no Chromium.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(dir: &Path) -> Option<Browser> {
        let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            let found =
                Command::new("sh").args(["-c", "command -v \"$0\"", name]).stdout(Stdio::null()).status();
            found.is_ok_and(|status| status.success())
        })?;
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).expect("a folder");
        let [commands, answers] = ["commands", "answers"].map(|name| dir.join(name));
        let made = Command::new("mkfifo").args([&commands, &answers]).status().expect("mkfifo");
        assert!(made.success(), "mkfifo in {}", dir.display());
        // It reads what is asked from descriptor 3 and answers on 4.
        let mut shell = Command::new("sh");
        shell.args(["-c", "in=$1 out=$2; shift 2; exec \"$0\" \"$@\" 3<\"$in\" 4>\"$out\"", program]);
        shell.args([&commands, &answers]);
        shell.args([
            "--headless",
            "--remote-debugging-pipe",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ]);
        // What it would do by itself has no part in the test.
        shell.args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--mute-audio",
        ]);
        // Its sandbox does not run as root, and shared memory is small in containers. It opens our own page only.
        shell.args(["--no-sandbox", "--disable-dev-shm-usage"]);
        shell.arg(format!("--user-data-dir={}", dir.join("profile").display()));
        let log = File::create(dir.join("log")).expect("a log");
        let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a browser");
        // In the order in which the shell opens them.
        let to = OpenOptions::new().write(true).open(&commands).expect("a pipe");
        let from = BufReader::new(File::open(&answers).expect("a pipe"));
        let mut browser =
            Browser { child, to, from, session: None, calls: 0, events: Vec::new(), dir: dir.to_owned() };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let session =
            browser.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Opens a file and waits until it is loaded. What was said before is forgotten.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        while self.events("Page.loadEventFired").is_empty() {
            let event = self.read();
            self.events.push(event);
        }
    }

    /// The value of an expression in the page, whatever its policy says of scripts.
    ///
    /// # Panics
    /// When the expression fails.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            &json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Clicks on the middle of the element that a selector finds, as a person does.
    ///
    /// # Panics
    /// When there is none.
    pub fn click(&mut self, selector: &str) {
        let at = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{block: 'center'}}); \
               const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            self.call(
                "Input.dispatchMouseEvent",
                &json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}),
            );
        }
    }

    /// Shows the page on a screen of a width, light or dark.
    pub fn show(&mut self, width: u32, scheme: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// What the page looks like down to a height, as PNG.
    ///
    /// # Panics
    /// When the answer is no picture.
    pub fn screenshot(&mut self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let answer = self.call(
            "Page.captureScreenshot",
            &json!({"format": "png", "clip": clip, "captureBeyondViewport": true}),
        );
        let data = answer["data"].as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(data).expect("a picture")
    }

    /// What the browser has said of its own accord since the page was opened, of one kind.
    pub fn events(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect()
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let answer = self.read();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("an answer");
        let Some((0, message)) = bytes.split_last() else {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            panic!("the browser has ended:\n{log}");
        };
        serde_json::from_slice(message).expect("JSON")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
