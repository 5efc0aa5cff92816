//! The login of the page, in a real browser over TLS.

use std::path::Path;

use serde_json::Value;

use super::{EVERYWHERE, NAME, openssl, serve};
use crate::access::PASSWORD;
use crate::page::browser::{Browser, ENTER};
use crate::place::LIMIT;

/// What a browser checks in place of the authority: the key of this very certificate.
fn pin(folder: &Path) -> String {
    use base64::Engine;
    std::fs::write(folder.join("key.pub"), openssl(folder, "x509 -in tls.crt -pubkey -noout")).unwrap();
    std::fs::write(folder.join("key.der"), openssl(folder, "pkey -pubin -in key.pub -outform der")).unwrap();
    base64::engine::general_purpose::STANDARD.encode(openssl(folder, "dgst -sha256 -binary key.der"))
}

const ASKED: &str = "return !!document.querySelector('form.login') && !document.querySelector('[data-shown]')";
const SHOWN: &str = "return !!document.querySelector('[data-shown]') && !document.querySelector('form.login')";
const LIVE: &str = "return !!document.querySelector('.live.on')";

/// Fills the login that is shown, and sends it.
fn send(browser: &Browser, user: &str, password: &str) {
    browser.run("for (const one of document.querySelectorAll('form.login input')) one.value = ''", &[]);
    browser.send("[data-key=user]", user);
    browser.send("[data-key=password]", &format!("{password}{ENTER}"));
}

#[test]
fn people_log_in_to_the_page_from_another_machine() {
    let (place, mut running) = serve(EVERYWHERE);
    let more = [
        format!("--ignore-certificate-errors-spki-list={}", pin(place.path())),
        format!("--host-resolver-rules=MAP {NAME} 127.0.0.1"),
    ];
    let browser = Browser::start_with("en-US", &more);
    let own = format!("https://{NAME}:{}/", place.http);
    browser.open(&format!("{own}#/rejects"));
    browser.wait("a login is asked for", ASKED);
    refuses_a_wrong_password(&browser);
    shows_each_what_they_may_see(&browser);
    asks_again_where_a_session_has_ended(&browser);
    // Refusals of those who are not logged in are told to the console by the browser itself.
    let told: Vec<Value> =
        browser.console().into_iter().filter(|entry| !entry["message"].as_str().unwrap().contains("401")).collect();
    assert!(told.is_empty(), "{told:#?}");
    let requests = browser.requests();
    assert!(requests.len() > 20 && requests.iter().all(|one| one.starts_with(&own)), "{requests:?}");
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    let _again = place.program.start("again", &["run"]).unwrap();
    browser.wait("a login is asked for by a service that has started anew", ASKED);
    send(&browser, "bob", PASSWORD);
    browser.wait("the page is shown", SHOWN);
    browser.wait("and it is live", LIVE);
}

fn refuses_a_wrong_password(browser: &Browser) {
    for colours in ["light", "dark"] {
        browser.prefer(colours);
        browser.is_accessible(&format!("login, {colours}"));
    }
    send(browser, "ann", "wrong");
    let refused = "return document.querySelector('form.login .error:not([hidden])')?.innerText.includes('Wrong')";
    browser.wait("it is refused", refused);
}

fn shows_each_what_they_may_see(browser: &Browser) {
    for (user, told) in [("ann", "555-0100"), ("bob", "is not shown to this user")] {
        send(browser, user, PASSWORD);
        browser.wait("the page is shown", SHOWN);
        browser.wait("a reject is there", "return !!document.querySelector('.rejects summary')");
        browser.click(".rejects summary");
        let text = browser.text(".rejects");
        assert!(text.contains(told) && text.contains("555-0100") == (user == "ann"), "{user}: {text}");
        assert_eq!(browser.run("return document.cookie", &[]), "", "no script reads the session");
        browser.run("window.before = true; location.reload()", &[]);
        browser.wait("who it is is known again", &format!("if (window.before) return false; {SHOWN}"));
        browser.wait("and it is live", LIVE);
        assert!(browser.text("[data-key=log-out]").contains(user));
        browser.click("[data-key=log-out]");
        browser.wait("a login is asked for", ASKED);
    }
}

fn asks_again_where_a_session_has_ended(browser: &Browser) {
    send(browser, "ann", PASSWORD);
    browser.wait("the page is shown", SHOWN);
    browser.run("location.hash = '#/sql?q=select%2040%20%2B%202%20as%20answer'", &[]);
    let there = "return document.querySelector('#statement')?.value === 'select 40 + 2 as answer'";
    browser.wait("the console is shown", there);
    browser.forget_cookies();
    browser.click(".console .primary");
    browser.wait("a login is asked for", ASKED);
    send(browser, "ann", PASSWORD);
    browser.wait("what was asked is there again", there);
    browser.click(".console .primary");
    browser.wait("and answered", "return document.querySelector('.console table')?.innerText.includes('42')");
}
