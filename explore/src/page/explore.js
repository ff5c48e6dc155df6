// The page works without this. With it, pages are put in place instead of loaded, images can be dropped and pasted, the
// threshold slides, and keys do what a mouse does.
"use strict";
{
    let under_way = null;
    // Hides the buttons that a script presses.
    document.documentElement.classList.add("scripted");

    const url_of = form => {
        const fields = [...new FormData(form)].filter(([name, value]) => value !== "" || name === "is");
        return form.action + "?" + new URLSearchParams(fields);
    };

    // The address of the page that is shown, by its own form.
    const put = (html, url, is_new) => {
        const page = new DOMParser().parseFromString(html, "text/html");
        const focused = document.activeElement?.id;
        const caret = focused === "q" ? document.activeElement.selectionStart : null;
        document.title = page.title;
        document.body.replaceChildren(...page.body.children);
        if (is_new) history.pushState(null, "", url);
        prepare();
        const again = focused && document.getElementById(focused);
        if (again) {
            again.focus({ preventScroll: true });
            if (caret !== null) again.setSelectionRange(caret, caret);
        }
    };

    const go = async (url, options = {}, is_new = true) => {
        under_way?.abort();
        const mine = under_way = new AbortController();
        document.getElementById("results")?.setAttribute("aria-busy", "true");
        try {
            const answer = await fetch(url, { ...options, signal: mine.signal });
            const html = await answer.text();
            if (!mine.signal.aborted) put(html, answer.url, is_new);
        } catch (error) {
            if (mine.signal.aborted) return;
            const results = document.getElementById("results");
            results?.removeAttribute("aria-busy");
            const said = document.createElement("p");
            said.className = "notice";
            said.setAttribute("role", "alert");
            said.textContent = "clip-search-explore does not answer. Is it still running?";
            results?.prepend(said);
        }
    };

    const look_for = image => {
        const form = new FormData(document.getElementById("upload"));
        form.set("image", image);
        go("/image", { method: "POST", body: form });
    };

    const image_of = items => [...items ?? []].find(file => file.type.startsWith("image/"));

    const histogram = async () => {
        const place = document.getElementById("histogram");
        if (!place) return;
        // Without an answer, or where another search has begun, the link to it remains.
        const html = await fetch(place.dataset.src, { signal: under_way?.signal })
            .then(answer => answer.ok ? answer.text() : null).catch(() => null);
        if (html === null || !place.isConnected) return;
        const page = new DOMParser().parseFromString(html, "text/html");
        place.replaceChildren(...page.getElementById("histogram").children);
        const slider = document.getElementById("slider");
        const chosen = document.getElementById("chosen");
        slider?.addEventListener("input", () => {
            chosen.textContent = Number(slider.value).toFixed(3);
            for (const figure of document.querySelectorAll("figure[data-similarity]")) {
                figure.classList.toggle("below", Number(figure.dataset.similarity) < Number(slider.value));
            }
        });
        slider?.addEventListener("change", () => slider.form.requestSubmit());
    };

    const prepare = () => {
        const copy = document.getElementById("copy");
        if (copy) {
            copy.hidden = false;
            copy.addEventListener("click", async () => {
                const sql = document.getElementById("sql");
                const is_done = await navigator.clipboard?.writeText(sql.textContent).then(() => true, () => false);
                // Where a page may not write to the clipboard, a key still can.
                if (!is_done) getSelection().selectAllChildren(sql);
                copy.textContent = is_done ? "Copied" : "Selected: press Ctrl+C";
            });
        }
        const file = document.getElementById("file");
        file?.addEventListener("change", () => file.files[0] && look_for(file.files[0]));
        histogram();
    };

    const help = () => {
        const dialog = document.createElement("dialog");
        const keys = [["/", "the search box"], ["← → ↑ ↓", "from image to image"], ["Enter", "more like this"],
            ["n, p", "next page, page before"], ["c", "copy the SQL"], ["Esc", "leave the search box"]];
        const list = document.createElement("dl");
        for (const [key, does] of keys) {
            const term = document.createElement("dt");
            term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
            list.append(term, Object.assign(document.createElement("dd"), { textContent: does }));
        }
        const close = Object.assign(document.createElement("button"), { textContent: "Close" });
        close.addEventListener("click", () => dialog.close());
        dialog.setAttribute("aria-label", "Keys");
        dialog.append(list, close);
        dialog.addEventListener("close", () => dialog.remove());
        document.body.append(dialog);
        dialog.showModal();
    };

    // To the image beside, above or below the one that has the focus.
    const move = key => {
        const images = [...document.querySelectorAll(".alike")];
        const at = images.indexOf(document.activeElement);
        if (at < 0) return images[0]?.focus();
        const top = image => image.getBoundingClientRect().top;
        const columns = Math.max(1, images.findIndex(image => top(image) > top(images[0]) + 1));
        const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
        images[at + steps[key]]?.focus();
    };

    document.addEventListener("submit", event => {
        if (event.target.method !== "get") return;
        event.preventDefault();
        go(url_of(event.target));
    });

    document.addEventListener("click", event => {
        const link = event.target.closest("a[href^='/search']");
        if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(link.href).then(() => scrollTo(0, 0));
    });

    addEventListener("popstate", () => go(location.href, {}, false));

    document.addEventListener("paste", event => {
        const image = image_of(event.clipboardData?.files);
        if (image && document.getElementById("upload")) look_for(image);
    });
    document.addEventListener("dragover", event => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        document.body.classList.add("dropping");
    });
    document.addEventListener("dragleave", event => event.relatedTarget || document.body.classList.remove("dropping"));
    document.addEventListener("drop", event => {
        document.body.classList.remove("dropping");
        if (!event.dataTransfer?.files.length) return;
        event.preventDefault();
        const image = image_of(event.dataTransfer.files);
        if (image && document.getElementById("upload")) look_for(image);
    });

    document.addEventListener("keydown", event => {
        if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
        const is_field = event.target.closest("input, select, textarea");
        if (event.key === "Escape" && is_field) return event.target.blur();
        if (is_field) return;
        const press = selector => document.querySelector(selector)?.click();
        switch (event.key) {
            case "/": document.getElementById("q")?.select(); break;
            case "ArrowLeft": case "ArrowRight": case "ArrowUp": case "ArrowDown":
                if (!document.querySelector(".alike")) return;
                move(event.key);
                break;
            case "n": press("a[rel=next]"); break;
            case "p": press("a[rel=prev]"); break;
            case "c": press("#copy"); break;
            case "?": help(); break;
            default: return;
        }
        event.preventDefault();
    });

    prepare();
}
