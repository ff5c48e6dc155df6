//! For tests: opens an HTML file in headless Chromium and tells what happened, or uses a page as a person does.
//!
//! The program is `CHROMIUM` from the environment, or the first of `chromium`, `chromium-browser` and `google-chrome`
//! on the `PATH`. `make setup-tests` installs it.

mod devtools;
mod page;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devtools::DevTools;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub use page::Page;

/// What the page is looked at with.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The name of its screenshot.
    pub name: &'static str,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// Whether the user options a dark page.
    pub dark: bool,
}

/// A phone.
pub const PHONE: View = View { name: "phone", width: 390, height: 844, dark: false };
/// A desktop's window.
pub const DESKTOP: View = View { name: "desktop", width: 1280, height: 900, dark: false };
/// A desktop's window at night.
pub const DARK: View = View { name: "dark", dark: true, ..DESKTOP };

/// What happened when a page was opened.
#[derive(Debug)]
pub struct Report {
    /// Messages of the console, violations of the page's Content-Security-Policy, uncaught exceptions and dialogs.
    pub console: Vec<String>,
    /// Addresses that were asked for, the page's own first; without `data:`, which asks nobody.
    pub requests: Vec<String>,
    /// The title that the browser shows.
    pub title: String,
    /// The document as the browser understood it, as HTML.
    pub dom: String,
    /// Alternative texts of the images that the browser could not draw.
    pub undrawn: Vec<String>,
    /// One for each view.
    pub screenshots: Vec<Screenshot>,
}

/// What the page looks like.
#[derive(Debug)]
pub struct Screenshot {
    /// What it was looked at with.
    pub view: View,
    /// The PNG.
    pub path: PathBuf,
    /// CSS pixels by which the page is wider than the view.
    pub overflow: i64,
}

/// Opens an HTML file; screenshots go to `folder`, as the page's name and the view's.
///
/// # Panics
/// There is no Chromium, or it fails.
pub fn open(page: &Path, folder: &Path, views: &[View]) -> Report {
    let page = page.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut browser = DevTools::start();
    for domain in ["Page", "Network", "Log", "Runtime"] {
        browser.call(&format!("{domain}.enable"), json!({}));
    }
    browser.go(&format!("file://{}", page.display()));

    let title = text(&browser.evaluate("document.title"));
    let dom = text(&browser.evaluate("document.documentElement.outerHTML"));
    // Also those further down, which are lazy. After the document was taken: this changes it.
    let undrawn = browser.evaluate(
        "Promise.all(Array.from(document.images, image => {
            image.loading = 'eager';
            return image.decode().then(() => null, () => image.alt);
        })).then(texts => texts.filter(text => text !== null))",
    );
    let undrawn = undrawn.as_array().expect("an array").iter().map(text).collect();
    std::fs::create_dir_all(folder).expect("the folder for screenshots");
    let stem = page.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let screenshots = views.iter().map(|view| screenshot(&mut browser, *view, &stem, folder)).collect();

    let events = browser.close();
    let requests = events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
    let requests = requests.map(|event| text(&event["params"]["request"]["url"]));
    Report {
        console: events.iter().filter_map(message).collect(),
        requests: requests.filter(|url| !url.starts_with("data:")).collect(),
        title,
        dom,
        undrawn,
        screenshots,
    }
}

fn screenshot(browser: &mut DevTools, view: View, stem: &str, folder: &Path) -> Screenshot {
    let View { name, width, height, dark } = view;
    let scheme = if dark { "dark" } else { "light" };
    // A phone has no scroll bars that take room.
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
    browser.call("Emulation.setDeviceMetricsOverride", metrics);
    let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.call("Emulation.setEmulatedMedia", media);
    let content = browser.evaluate("document.documentElement.scrollWidth").as_i64().expect("a number");
    let png = browser.call("Page.captureScreenshot", json!({ "format": "png" }));
    let path = folder.join(format!("{stem}-{name}.png"));
    let png = STANDARD.decode(text(&png["data"])).expect("base64");
    std::fs::write(&path, png).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Screenshot { view, path, overflow: content - i64::from(width) }
}

/// What an event has to say to a developer, if anything.
fn message(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    Some(match event["method"].as_str()? {
        "Log.entryAdded" => format!("{}: {}", text(&parameters["entry"]["level"]), text(&parameters["entry"]["text"])),
        "Runtime.consoleAPICalled" => format!("{}: {}", text(&parameters["type"]), parameters["args"]),
        "Runtime.exceptionThrown" => format!("exception: {}", parameters["exceptionDetails"]),
        "Page.javascriptDialogOpening" => format!("dialog: {}", text(&parameters["message"])),
        _ => return None,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
