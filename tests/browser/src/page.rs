//! A page that is used as a person does: by the mouse and by keys.

use crate::devtools::DevTools;
use crate::{Screenshot, View, message, screenshot, text};
use serde_json::{Value, json};
use std::path::Path;

/// A page in a browser of its own.
pub struct Page {
    browser: DevTools,
}

impl Page {
    /// Opens an address.
    ///
    /// # Panics
    /// There is no Chromium, or it fails; so do all functions below.
    pub fn open(url: &str) -> Self {
        Self::start(url, true)
    }

    /// The same in a browser that runs no scripts of the page.
    pub fn without_scripts(url: &str) -> Self {
        Self::start(url, false)
    }

    fn start(url: &str, has_scripts: bool) -> Self {
        let mut browser = DevTools::start();
        for domain in ["Page", "Network", "Log", "Runtime", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        if !has_scripts {
            browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
        }
        let mut this = Self { browser };
        this.go(url);
        this
    }

    /// Goes to another address.
    pub fn go(&mut self, url: &str) {
        self.browser.go(url);
    }

    /// The value of a JavaScript expression.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.browser.evaluate(expression)
    }

    /// The text of the first element that a selector finds.
    pub fn text(&mut self, selector: &str) -> String {
        text(&self.evaluate(&format!("document.querySelector({selector:?})?.innerText")))
    }

    /// Waits until a page is there whole, and an expression is true.
    pub fn wait_until(&mut self, condition: &str) {
        if !self.browser.wait_until(condition) {
            panic!("the page does not become what it should: {condition}\n{}", self.text("body"));
        }
    }

    /// Clicks into the middle of the first element that a selector finds.
    pub fn click(&mut self, selector: &str) {
        self.wait_until(&format!("document.querySelector({selector:?})"));
        let place = self.evaluate(&format!(
            "(() => {{ const element = document.querySelector({selector:?});
                element.scrollIntoView({{ block: 'center' }});
                const {{ x, y, width, height }} = element.getBoundingClientRect();
                return [x + width / 2, y + height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.browser.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Writes into what has the focus.
    pub fn write(&mut self, text: &str) {
        self.browser.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key: a character, or a name such as `Enter`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut event = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if key == "Enter" {
            event["text"] = json!("\r");
        } else if key.chars().count() == 1 {
            event["text"] = json!(key);
        }
        self.browser.call("Input.dispatchKeyEvent", event);
        self.browser
            .call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code }));
    }

    /// Chooses a file, as in the dialog that opens for a field.
    pub fn choose(&mut self, selector: &str, file: &Path) {
        let document = self.browser.call("DOM.getDocument", json!({}));
        let found = json!({ "nodeId": document["root"]["nodeId"], "selector": selector });
        let node = self.browser.call("DOM.querySelector", found);
        let file = file.to_str().expect("a path in UTF-8");
        self.browser.call("DOM.setFileInputFiles", json!({ "files": [file], "nodeId": node["nodeId"] }));
    }

    /// What the page looks like.
    pub fn screenshot(&mut self, view: View, stem: &str, folder: &Path) -> Screenshot {
        std::fs::create_dir_all(folder).expect("the folder for screenshots");
        screenshot(&mut self.browser, view, stem, folder)
    }

    /// Closes it; returns what the console was told, and the addresses that were asked for, without `data:`.
    pub fn close(self) -> (Vec<String>, Vec<String>) {
        let events = self.browser.close();
        let requests = events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let requests = requests.map(|event| text(&event["params"]["request"]["url"]));
        (events.iter().filter_map(message).collect(), requests.filter(|url| !url.starts_with("data:")).collect())
    }
}
