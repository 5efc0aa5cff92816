//! The view of open alerts, and their number beside it.

use satisflow_testkit::{Writer, wait_for};
use serde_json::{Value, json};

use super::browser::{Browser, ENTER};
use super::{HARM, ratings, show, url};
use crate::place::{LIMIT, Place};

/// How many alerts are open, as SQL says.
fn open_alerts(place: &Place) -> u64 {
    let request = reqwest::blocking::Client::new().post(url(place, "sql")).header("content-type", "application/sql");
    let rows: Value = request.body("select count(*) as n from alerts_open").send().unwrap().json().unwrap();
    rows[0]["n"].as_u64().unwrap()
}

/// In a browser that opens the page of a service, as the README says.
pub fn are_seen_at(http: u16) {
    let browser = Browser::start("en-US");
    browser.open(&format!("http://127.0.0.1:{http}/"));
    browser.wait("tiles are shown", "return document.querySelectorAll('.tile .figure .value').length > 0");
    browser.wait("an alert is counted", "return !!document.querySelector('nav .badge')");
    browser.click("[data-key=tab-alerts]");
    browser.wait("an alert is listed", "return !!document.querySelector('.alert .evidence-list')");
}

/// An alert of a bound and one of a change, as they open, in every view's count and with what they rest on.
pub fn are_shown(browser: &Browser, place: &Place, writer: &Writer) {
    show(browser, place, "#/alerts");
    browser.run("window.stillTheSame = true", &[]);
    let listed = |what: &str, text: &str| {
        let script = format!(
            "return [...document.querySelectorAll('.alert')].map((one) => one.innerText).find((text) => \
             text.includes({}) && text.includes({}))",
            json!(HARM),
            json!(text)
        );
        browser.wait(what, &script).as_str().unwrap().to_owned()
    };
    // Beyond its bound at one end, and still at the next.
    writer.write(0, &ratings(HARM, 40, 1, "harm-goes-on", 20)).unwrap();
    let bound = listed("the alert of the bound is open", "below 55");
    for told in ["csat", "page", "Since", "95 % interval", "n\n80", "Rule\nbound"] {
        assert!(bound.contains(told), "{told}: {bound}");
    }
    // A department that was well all day.
    writer.write(1, &ratings("Sales", 300, 1, "drop", 12)).unwrap();
    let script = "return [...document.querySelectorAll('.alert')].map((one) => one.innerText).find((text) => \
                  text.includes('Sales') && text.includes('significant change'))";
    let drop = browser.wait("the alert of the drop is open", script).as_str().unwrap().to_owned();
    for told in ["below the usual", "Compared with", "p by chance\n< 0.0001, at most 0.001", "Groups decided together"]
    {
        assert!(drop.contains(told), "{told}: {drop}");
    }
    assert_eq!(browser.run("return window.stillTheSame", &[]), json!(true), "the page was not loaded again");
    counts_open_alerts_everywhere(browser, place);
    // Of one severity, by keys, and in the address.
    browser.run("document.querySelector('[data-key=severity-warn]').focus()", &[]);
    browser.press(ENTER);
    browser.wait(
        "warnings alone are listed",
        "const all = [...document.querySelectorAll('.alert')];
         return location.hash === '#/alerts?q=warn' && all.length > 0 && all.every((one) => one.matches('.warn'))",
    );
    show(browser, place, "#/alerts?q=page");
    assert_eq!((browser.count(".alert.warn"), browser.count(".alert.page") > 0), (0, true));
    browser.run(
        "[...document.querySelectorAll('.alert h3 a')].find((one) => one.innerText.includes('Sales')).focus()",
        &[],
    );
    browser.press(ENTER);
    let shown = "return !!document.querySelector('h1 .of') && !!document.querySelector('.chart .line')";
    browser.wait("its trend is shown", shown);
    let hash = browser.run("return location.hash", &[]);
    assert_eq!(hash, "#/trend?kpi=csat&window=1h&by=department&group=Sales");
}

fn counts_open_alerts_everywhere(browser: &Browser, place: &Place) {
    for view in ["overview", "sql"] {
        show(browser, place, &format!("#/{view}"));
        wait_for("the count is that of the table", LIMIT, || {
            let shown = browser.run("return document.querySelector('nav .badge')?.innerText ?? ''", &[]);
            let title = browser.run("return document.title", &[]);
            let open = open_alerts(place);
            let is_told = shown.as_str()?.split_whitespace().next() == Some(open.to_string().as_str());
            (is_told && title.as_str()?.starts_with(&format!("({open}) "))).then_some(())
        })
        .unwrap();
    }
    show(browser, place, "#/overview");
    let shown = browser.text(".stack");
    assert!(shown.contains("Open alerts") && shown.contains(HARM), "{shown}");
    show(browser, place, "#/alerts");
}
