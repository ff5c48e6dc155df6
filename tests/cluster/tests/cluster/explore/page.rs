//! The page in a browser, by clicks and keys.

use super::{Explore, photos};
use browser::{DARK, DESKTOP, PHONE, Page};
use cluster_tests::{Cluster, image};
use std::path::{Path, PathBuf};

const BUSY: &str = "document.getElementById('results').hasAttribute('aria-busy')";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("explore")
}

fn names(page: &mut Page) -> Vec<String> {
    let names = page.evaluate("[...document.querySelectorAll('figure .name')].map(name => name.innerText)");
    names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Waits until another page is in place.
fn wait_for_page(page: &mut Page, address_has: &str) {
    page.wait_until(&format!("location.search.includes({address_has:?}) && !{BUSY}"));
}

#[test]
fn by_clicks_and_keys() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let explore = Explore::start(&cluster.dsn("postgres"));
    let mut page = Page::open(&explore.url("/"));
    assert_eq!(page.evaluate("document.title"), "photos · clip_search");
    assert_eq!(names(&mut page).len(), 10);

    // Words, by keys alone.
    page.press("/");
    page.write("a <b>cat</b> & \"dog\"");
    page.press("Enter");
    wait_for_page(&mut page, "q=a");
    assert_eq!(page.evaluate("document.activeElement.id"), "q");
    assert_eq!(page.evaluate("document.getElementById('q').value"), "a <b>cat</b> & \"dog\"");
    assert!(page.text("#results .status").starts_with("10 rows"));

    // From image to image, and more like that one.
    page.press("Escape");
    page.press("ArrowRight");
    page.press("ArrowRight");
    let alike = page.evaluate("document.activeElement.getAttribute('aria-label')");
    page.press("Enter");
    wait_for_page(&mut page, "like=");
    let second = alike.as_str().unwrap().strip_prefix("More like ").unwrap().to_owned();
    let others = names(&mut page);
    assert!(others.len() == 9 && !others.contains(&second), "{second}: {others:?}");

    // Plus and minus; each can be taken away.
    page.click("input[name=plus]:not([type=hidden])");
    page.write("snow");
    page.press("Enter");
    wait_for_page(&mut page, "plus=snow");
    page.click("input[name=minus]:not([type=hidden])");
    page.write("people");
    page.press("Enter");
    wait_for_page(&mut page, "minus=people");
    assert!(page.text("#sql").contains("ARRAY[1, 0.5, -0.5]"), "{}", page.text("#sql"));
    page.click("[aria-label='Remove snow']");
    page.wait_until(&format!("!location.search.includes('snow') && !{BUSY}"));
    assert!(page.text(".terms").contains("people"));

    // Back, and it is as it was.
    page.evaluate("history.back()");
    wait_for_page(&mut page, "plus=snow");
    assert!(page.text(".terms").contains("snow"));

    // The SQL of the page gives its rows, from psql.
    let shown = names(&mut page);
    let sql = page.text("#sql");
    let rows = cluster.connect().query(sql.trim_end_matches(';'), &[]).unwrap();
    let of_sql: Vec<String> = rows
        .iter()
        .map(|row| row.get::<_, String>(2).split("\"name\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!(of_sql, shown);

    // An image: chosen, and it finds itself.
    let file = cluster.file("mine.jpg", "", 0o644);
    std::fs::write(&file, image("photo_444.jpg")).unwrap();
    page.go(&explore.url("/search?table=photos&q=cat"));
    page.choose("#file", &file);
    wait_for_page(&mut page, "image=");
    assert_eq!(page.evaluate("document.querySelector('figure').dataset.similarity"), "1");
    page.wait_until("document.querySelector('.terms img').naturalWidth > 0");

    // Dropped and pasted images come the same way.
    for event in ["drop", "paste"] {
        page.go(&explore.url("/search?table=photos"));
        page.evaluate(&format!(
            "fetch('/thumbnail?table=photos&row=2').then(answer => answer.blob()).then(blob => {{
                const data = new DataTransfer();
                data.items.add(new File([blob], 'x.jpg', {{ type: 'image/jpeg' }}));
                document.body.dispatchEvent('{event}' === 'drop'
                    ? new DragEvent('drop', {{ dataTransfer: data, bubbles: true, cancelable: true }})
                    : new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true }}));
            }})"
        ));
        wait_for_page(&mut page, "image=");
    }

    // The threshold slides: what is below fades at once, and is gone when it is let go.
    page.go(&explore.url("/search?table=photos&q=cat"));
    page.wait_until("document.getElementById('slider')");
    let similarity = |page: &mut Page, at: usize| {
        page.evaluate(&format!("Number(document.querySelectorAll('figure')[{at}].dataset.similarity)"))
            .as_f64()
            .unwrap()
    };
    let middle = (similarity(&mut page, 4) + similarity(&mut page, 5)) / 2.0;
    page.evaluate(&format!("slider.value = {middle}; slider.dispatchEvent(new Event('input')); 0"));
    let fading = page.evaluate("document.querySelectorAll('figure.below').length").as_i64().unwrap();
    assert!((4..=6).contains(&fading), "{fading}");
    page.evaluate("slider.dispatchEvent(new Event('change')); 0");
    wait_for_page(&mut page, "min=");
    assert_eq!(names(&mut page).len() as i64, 10 - fading);

    // Nothing was asked of anybody else, and nothing went wrong.
    let (console, requests) = page.close();
    assert_eq!(console, [""; 0]);
    assert!(requests.iter().all(|url| url.starts_with(&explore.url("/"))), "{requests:?}");
    cluster.assert_sessions_survived();
}

#[test]
fn filtered_sorted_labelled_and_looked_at() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let explore = Explore::start(&cluster.dsn("postgres"));
    let query = "/search?table=photos&q=cat&labels=a+cat%2C+a+dog&sort=taken&descending=1&filter=place&is=Ulm";
    let mut page = Page::open(&explore.url(query));
    assert_eq!(names(&mut page).len(), 5);
    let taken = |page: &mut Page| -> Vec<String> {
        let dates = page.evaluate(
            "[...document.querySelectorAll('figure')].map(figure => [...figure.querySelectorAll('dt')]
                .find(term => term.textContent === 'taken').nextElementSibling.textContent)",
        );
        dates.as_array().unwrap().iter().map(|date| date.as_str().unwrap().to_owned()).collect()
    };
    let dates = taken(&mut page);
    assert!(dates.windows(2).all(|pair| pair[0] > pair[1]), "{dates:?}");
    let label = page.text("figure .note b");
    assert!(["a cat", "a dog"].contains(&label.as_str()), "{label}");
    page.wait_until("document.querySelector('#histogram svg')");
    page.wait_until("[...document.images].every(image => image.complete && image.naturalWidth > 0)");
    for view in [PHONE, DESKTOP, DARK] {
        let screenshot = page.screenshot(view, "explore", &folder());
        assert!(screenshot.overflow <= 0, "{screenshot:?}");
    }
    // Every control has a name to be read aloud.
    let unnamed = page.evaluate(
        "[...document.querySelectorAll('a, button, input:not([type=hidden]), select, img, svg')].filter(element =>
            !(element.getAttribute('aria-label') || element.alt || element.labels?.length || element.textContent.trim()))
            .map(element => element.outerHTML)",
    );
    assert_eq!(unnamed, serde_json::json!([]));

    // With a threshold, pages go on in that order, whatever is most similar.
    for (skip, day) in [(0, 10), (4, 6)] {
        page.go(&explore.url(&format!("/search?table=photos&q=cat&min=-1&sort=taken&descending=1&k=4&skip={skip}")));
        let days: Vec<String> = (0..4).map(|before| format!("2026-01-{:02}", day - before)).collect();
        assert_eq!(taken(&mut page), days);
    }

    // What is of others is text here.
    page.go(&explore.url("/search?table=photos&q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E"));
    assert_eq!(page.evaluate("document.querySelectorAll('img[src=x], dd b').length"), 0);
    page.press("?");
    page.wait_until("document.querySelector('dialog[open]')");
    let (console, _) = page.close();
    assert_eq!(console, [""; 0]);
}

#[test]
fn without_scripts() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let explore = Explore::start(&cluster.dsn("postgres"));
    let mut page = Page::without_scripts(&explore.url("/"));
    page.click("#q");
    page.write("cat");
    page.press("Enter");
    page.wait_until("location.search.includes('q=cat')");
    assert_eq!(names(&mut page).len(), 10);
    page.click(".alike");
    page.wait_until("location.search.includes('like=')");
    assert_eq!(names(&mut page).len(), 9);
    page.click("#histogram a");
    page.wait_until("location.pathname === '/histogram' && document.querySelector('svg')");
    let file = cluster.file("mine.jpg", "", 0o644);
    std::fs::write(&file, image("photo_444.jpg")).unwrap();
    page.go(&explore.url("/search?table=photos"));
    page.choose("#file", &file);
    page.click("button[form=upload]");
    page.wait_until("location.search.includes('image=')");
    assert_eq!(page.evaluate("document.querySelector('figure').dataset.similarity"), "1");
}
