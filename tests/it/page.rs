//! The page, in a real browser over a real service.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use satisflow_testkit::{Running, Writer, wait_for};
use serde_json::{Value, json};

use crate::access;
use crate::place::{LIMIT, Place, brokers, offline, scrape};
use browser::{Browser, CONTROL, DOWN, ENTER, LEFT, TAB};

pub mod alerts;
pub mod browser;

const VIEWS: [&str; 9] = ["overview", "alerts", "trend", "pareto", "control", "bounds", "rejects", "pipeline", "sql"];
const WIDE: (u32, u32) = (1440, 900);
const PHONE: (u32, u32) = (390, 844);
/// A name that means harm to whoever makes HTML or SQL of it.
const HARM: &str = "<img src=x onerror=alert(1)> 'Toys'";

/// The last of the day's windows of each KPI.
const PUBLISHED: &str =
    "count(distinct case when window_name = '1h' and window_end > now() - interval '20 minutes' then kpi end) = 4";

const CATALOG: &str = "version: 1
zone: UTC
dimensions: { department: department, channel: channel }
windows: { 1h: { length: 1h, step: 5m }, day: { calendar: day }, all: { all: true } }
measures:
  satisfaction: { kinds: [rating, survey_response], value: 'csat_0_100(coalesce(score, overall), scale)', weight: weight }
  dissatisfied: { kinds: [rating, survey_response], value: 'csat_0_100(coalesce(score, overall), scale) < 60', weight: weight }
  complaints: { kinds: [complaint_opened], first_per: case_id }
  units_sold: { kinds: [sale], value: units }
defaults: { grouping_sets: [[], [department], [department, channel]] }
metrics:
  csat:
    description: Weighted mean satisfaction on 0 to 100.
    unit: points
    mean: satisfaction
    alerts:
      - { window: 1h, grouping_set: [department], below: 55, clear: 65, n_min: 30 }
      - { window: 1h, below: 80, severity: warn, n_min: 30 }
      - { window: 1h, grouping_set: [department], drop: {} }
  complaint_rate:
    description: Complaints by first opening per unit sold.
    unit: complaints per unit
    ratio: { numerator: complaints, denominator: units_sold }
  dissatisfied_share:
    description: Weighted share of responses below 60 of 100.
    unit: share
    share: dissatisfied
  responses:
    description: Ratings and survey responses with a score.
    unit: responses
    count: satisfaction
";

/// A service with the records of a day that began so many hours ago, once a condition on what it has published holds.
fn serve(topic: &str, events: u32, hours_ago: i64, published: &str, more: &[&str]) -> (Place, Running) {
    let place = Place::with(topic, &brokers(), "catalog: catalog.yaml");
    std::fs::write(place.path().join("catalog.yaml"), CATALOG).unwrap();
    let begin = (Timestamp::now() - SignedDuration::from_hours(hours_ago)).to_string();
    let arguments = [&["--days", "1", "--start", &begin, "--partitions", "2"], more].concat();
    place.generate_all(topic, events, &arguments);
    let running = place.program.start("run", &["run"]).unwrap();
    wait_for("all is published", LIMIT, || is_published(&place, published).then_some(())).unwrap();
    (place, running)
}

/// Whether a condition holds of the rows of `kpis`; `false` while nobody answers.
fn is_published(place: &Place, condition: &str) -> bool {
    let request = reqwest::blocking::Client::new().post(url(place, "sql")).header("content-type", "application/sql");
    let sent = request.body(format!("select {condition} as published from kpis")).send();
    let answer = sent.ok().and_then(|answer| answer.json::<Value>().ok());
    answer.is_some_and(|rows| rows[0]["published"] == json!(true))
}

fn url(place: &Place, hash: &str) -> String {
    format!("http://127.0.0.1:{}/{hash}", place.http)
}

/// Opens a view and waits until it has shown what it asks for.
fn show(browser: &Browser, place: &Place, hash: &str) {
    browser.open("about:blank");
    browser.open(&url(place, hash));
    browser.wait(&format!("{hash} is shown"), "return !!document.querySelector('[data-shown]')");
    assert_eq!(browser.count("p.error:not([hidden])"), 0, "{hash}: {}", browser.text("p.error"));
}

fn ratings(department: &str, count: usize, score: u32, name: &str, minutes_ago: i64) -> Vec<String> {
    let time = (Timestamp::now() - SignedDuration::from_mins(minutes_ago)).to_string();
    let rating = |number: usize| {
        json!({"event_id": format!("{name}-{number}"), "kind": "rating", "event_time": time,
               "score": score, "scale": "1-5", "department": department})
        .to_string()
    };
    (0..count).map(rating).collect()
}

#[test]
fn the_page_shows_a_running_service() {
    let (place, mut running) = serve("page", 12_000, 24, PUBLISHED, &[]);
    let writer = Writer::new(&brokers(), "page").unwrap();
    // Half an hour ago: windows that held them are final.
    writer.write(0, &ratings(HARM, 40, 1, "harm", 30)).unwrap();
    let unknown = json!({"event_id": "unknown", "kind": HARM, "event_time": Timestamp::now().to_string()});
    writer.write(1, &[unknown.to_string()]).unwrap();
    let browser = Browser::start("en-US");
    browser.resize(WIDE.0, WIDE.1);
    every_view_has_data(&browser, &place);
    takes_texts_as_texts(&browser, &place);
    alerts::are_shown(&browser, &place, &writer);
    is_told_of_what_is_new(&browser, &place, &writer);
    keeps_what_is_shown_in_the_address(&browser, &place);
    is_used_by_keys_alone(&browser, &place);
    runs_statements(&browser, &place);
    speaks_chinese(&browser, &place);
    draws_the_limits_and_the_vital_few_of_the_domain(&browser);
    asks_nobody_else_and_complains_of_nothing(&browser, &place);
    is_accessible(&browser, &place);
    ends_with_a_page_open(&browser, &place, &mut running);
}

fn every_view_has_data(browser: &Browser, place: &Place) {
    for (hash, selector, at_least) in [
        ("#/overview", ".tile .spark .line", 4),
        ("#/overview", ".tile .figure .value", 4),
        ("#/overview?kpi=csat", ".groups tbody tr", 8),
        ("#/overview", ".violation .evidence", 2),
        ("#/overview", ".equation .term", 4),
        ("#/trend?kpi=csat&window=1h", ".chart .band[d^=M]", 1),
        ("#/trend?kpi=csat&window=1h", ".chart .mark.restated", 1),
        ("#/trend?kpi=csat&window=1h", ".card tbody tr", 10),
        ("#/trend?kpi=csat&window=1h", ".limit.bound", 1),
        ("#/pareto?kpi=complaint_rate&window=1h&by=department", ".bar.vital", 2),
        ("#/control?kpi=csat&window=1h", ".limit.control", 2),
        ("#/control?kpi=dissatisfied_share&window=1h", ".limit.control", 2),
        ("#/control?kpi=complaint_rate&window=1h", ".limit.control", 2),
        ("#/control?kpi=responses&window=1h", ".limit.control", 2),
        ("#/control?kpi=complaint_rate&window=1h&limits=laney", ".limit.control", 2),
        ("#/bounds", "tbody tr", 4),
        ("#/rejects", ".rejects li", 20),
        ("#/rejects?q=off_scale", ".rejects li", 3),
        ("#/pipeline", ".columns tbody tr", 5),
        ("#/sql", ".schema details", 10),
    ] {
        show(browser, place, hash);
        let found = browser.count(selector);
        assert!(found >= at_least, "{hash}: {found} of {selector}: {}", browser.text("main"));
    }
    show(browser, place, "#/pipeline");
    let polled = place.metric("satisflow_polled_records_total").unwrap();
    let shown = browser.wait(
        "all is balanced",
        "return document.querySelector('.calm') && document.querySelector('.term.polled .value').innerText",
    );
    assert_eq!(shown.as_str().unwrap().replace(',', ""), format!("{polled:.0}"));
}

/// Of a group and of a record, neither as HTML nor as SQL.
fn takes_texts_as_texts(browser: &Browser, place: &Place) {
    show(browser, place, "#/overview?kpi=csat&by=department");
    browser.wait(
        "the harmful group is there",
        &format!(
            "return [...document.querySelectorAll('button.link')].find(one => one.innerText === {})?.click() ?? \
                  location.hash.includes('trend')",
            json!(HARM)
        ),
    );
    browser.wait(
        "the group's trend is shown",
        "return document.querySelector('h1 .of') && document.querySelector('.chart .dot') && true",
    );
    assert!(browser.text("h1").contains(HARM), "{}", browser.text("h1"));
    show(browser, place, "#/rejects?q=unknown_kind");
    browser.click(".rejects li summary");
    let raw = browser.text(".rejects .raw");
    assert!(raw.contains(HARM) && browser.count("img[src=x]") == 0, "{raw}");
}

fn is_told_of_what_is_new(browser: &Browser, place: &Place, writer: &Writer) {
    show(browser, place, "#/overview?window=1h");
    let of = |script: &str| browser.run(script, &[]).as_str().unwrap_or_default().to_owned();
    let (accepted, open) = (
        "return document.querySelector('.term.accepted .value').innerText",
        "return [...document.querySelectorAll('.tile')].find(one => one.innerText.includes('responses')).querySelector('.live-figure').innerText",
    );
    let (accepted_before, open_before) = (of(accepted), of(open));
    assert!(open_before.contains("open"), "{open_before}");
    browser.run("window.stillTheSame = true", &[]);
    writer.write(0, &ratings("Sales", 30, 5, "news", 0)).unwrap();
    wait_for("the count of records goes up", LIMIT, || (of(accepted) != accepted_before).then_some(())).unwrap();
    wait_for("the open window takes them", LIMIT, || (of(open) != open_before).then_some(())).unwrap();
    assert_eq!(browser.run("return window.stillTheSame", &[]), json!(true), "the page was not loaded again");
    show(browser, place, "#/rejects");
    let counted = "return document.querySelector('.chip .count').innerText";
    let before = of(counted);
    writer.write(1, &["no event".to_owned()]).unwrap();
    wait_for("the reject is counted", LIMIT, || (of(counted) != before).then_some(())).unwrap();
}

fn keeps_what_is_shown_in_the_address(browser: &Browser, place: &Place) {
    show(browser, place, "#/trend?kpi=csat&window=1h&by=department&group=Sales");
    assert!(browser.text("h1").contains("Sales"), "{}", browser.text("h1"));
    browser.run(
        "const one = document.querySelector('[data-key=filter-kpi]'); one.value = 'responses'; one.dispatchEvent(new Event('change'))",
        &[],
    );
    browser.wait("the other KPI is shown", "return document.querySelector('h1').innerText.startsWith('responses')");
    let hash = browser.run("return location.hash", &[]);
    assert_eq!(hash, "#/trend?kpi=responses&window=1h&by=department&group=Sales");
    browser.run("history.back()", &[]);
    browser.wait("the first one is shown again", "return document.querySelector('h1').innerText.startsWith('csat')");
    show(browser, place, "#/trend?kpi=gone&window=never&by=nothing&group=a&group=b");
    assert_ne!(browser.text("h1"), "", "what there is not is replaced by what there is");
}

fn is_used_by_keys_alone(browser: &Browser, place: &Place) {
    show(browser, place, "#/trend?kpi=csat&window=1h");
    browser.press(TAB);
    assert_eq!(browser.run("return document.activeElement.id", &[]), "skip");
    browser.run("document.querySelector('.chart').focus()", &[]);
    let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle", &[]);
    browser.press(LEFT);
    assert!(browser.text(".readout").contains("interval"), "{}", browser.text(".readout"));
    assert_ne!(outline, "none", "the focus is seen");
    let at = browser.text(".readout");
    browser.press(LEFT);
    assert_ne!(browser.text(".readout"), at);
}

fn runs_statements(browser: &Browser, place: &Place) {
    show(browser, place, "#/sql?q=select%20kind%2C%20count(*)%20as%20n%20from%20events%20group%20by%20ki");
    browser.wait("names can be completed", "return document.querySelectorAll('.schema details').length > 0");
    browser.send("#statement", "n");
    browser.wait("a column is offered", "return document.querySelector('.offers li')?.innerText.startsWith('kind')");
    browser.send("#statement", &format!("{DOWN}{ENTER}"));
    let statement = browser.run("return document.querySelector('#statement').value", &[]);
    assert_eq!(statement, "select kind, count(*) as n from events group by kind");
    browser.send("#statement", &format!("{CONTROL}{ENTER}"));
    browser.wait("rows are shown", "return document.querySelectorAll('table.result tbody tr').length >= 3");
    browser.click(".buttons button:nth-of-type(3)");
    let file = browser.folder.path().join("satisflow.csv");
    let saved = wait_for("the file is saved", LIMIT, || {
        std::fs::read_to_string(&file).ok().filter(|text| text.lines().count() > 3)
    });
    assert!(saved.unwrap().starts_with("kind,n\n"));
    // A reload keeps the history, and what was run is in the address.
    let hash = browser.run("return location.hash", &[]).as_str().unwrap().to_owned();
    show(browser, place, &hash);
    assert!(browser.text(".history").contains("group by kind"), "{}", browser.text("main"));
    for (query, told) in [("drop table kpis", "read"), ("select nothing", "nothing")] {
        browser.run("document.querySelector('#statement').value = arguments[0]", &[query.into()]);
        browser.click("button.primary");
        let shown = browser.wait("it is refused", "return document.querySelector('.card .error')?.innerText");
        assert!(shown.as_str().unwrap().contains(told), "{query}: {shown}");
        browser.run("document.querySelector('.card .error').remove()", &[]);
    }
    // The first rows of a long result, and the rest is not waited for.
    browser.run("document.querySelector('#statement').value = 'select a.event_id from events a, events b'", &[]);
    browser.click("button.primary");
    browser
        .wait("the first rows are shown", "return document.querySelectorAll('table.result tbody tr').length === 500");
}

fn speaks_chinese(browser: &Browser, place: &Place) {
    show(browser, place, "#/overview");
    assert_eq!(browser.run("return document.documentElement.lang", &[]), "en");
    browser.click("[data-key=language]");
    browser.wait("the page is Chinese", "return document.querySelector('nav a').innerText === '总览'");
    show(browser, place, "#/trend");
    assert_eq!(browser.run("return document.documentElement.lang", &[]), "zh-CN", "it is kept");
    browser.click("[data-key=language]");
    browser.wait("the page is English", "return document.querySelector('nav a').innerText === 'Overview'");
    let other = Browser::start("zh-CN");
    show(&other, place, "#/overview");
    assert_eq!(other.text("nav a"), "总览", "the browser's language is taken");
}

/// Examples F13 and F5 of the domain, by the modules that draw.
fn draws_the_limits_and_the_vital_few_of_the_domain(browser: &Browser) {
    let drawn = browser.run_async(
        "const done = arguments[0];
        (async () => {
          const { controlled } = await import('/page/chart/limits.js');
          const { bars } = await import('/page/view/pareto.js');
          const { en } = await import('/page/text/en.js');
          const { zh } = await import('/page/text/zh.js');
          const row = ([numerator, denominator], at) => ({ numerator, denominator, n_eff: denominator, value: numerator / denominator,
            window_start: new Date(at * 1e6).toISOString(), window_end: new Date((at + 1) * 1e6).toISOString() });
          const chart = (form, counts) => controlled(counts.map(row), { form, per: 1 });
          const p = chart('share', [[8, 200], [6, 180], [10, 220], [7, 200]]);
          const u = chart('ratio', [[12, 1], [9, 0.8], [15, 1.2]]);
          const wide = controlled([50, 80, 40, 90, 45, 85].map((count) => [count, 1000]).map(row), { form: 'share', per: 1 }, true);
          const faults = Object.entries({ reopened: 375, damaged: 180, international: 102, invoice: 282, pickup: 627, lost: 20, proof: 26,
            late: 751, traces: 345, wrong: 75 }).map(([item, numerator]) => ({ item, numerator }));
          const few = bars(faults, { form: 'ratio' }, ['item']).filter((bar) => bar.vital);
          const keys = (texts) => Object.keys(texts).toSorted().join();
          done([p.middle.toFixed(5), p.points.map((one) => one.upper.toFixed(6)).join(), u.middle.toFixed(0), u.points[0].upper.toFixed(3),
            few.map((bar) => bar.name).join(), few.at(-1).share.toFixed(4),
            wide.factor.toFixed(4), wide.points[0].upper.toFixed(4), keys(en) === keys(zh)]);
        })().catch((error) => done(String(error)))",
    );
    let expected = json!([
        "0.03875",
        "0.079691,0.081906,0.077786,0.079691",
        "12",
        "22.392",
        "late,pickup,reopened,traces,invoice",
        "0.8552",
        "4.6624",
        "0.1740",
        true
    ]);
    assert_eq!(drawn, expected);
}

fn asks_nobody_else_and_complains_of_nothing(browser: &Browser, place: &Place) {
    // A statement that was refused on purpose is told to the console by the browser itself.
    let told: Vec<Value> =
        browser.console().into_iter().filter(|entry| !entry["message"].as_str().unwrap().contains("/sql - ")).collect();
    assert!(told.is_empty(), "{told:#?}");
    let own = url(place, "");
    let asked: BTreeSet<String> = browser.requests().into_iter().filter(|one| one != "about:blank").collect();
    let elsewhere: Vec<&String> =
        asked.iter().filter(|one| !one.starts_with(&own) && !one.starts_with("blob:http://127.0.0.1")).collect();
    assert!(asked.len() > 20 && elsewhere.is_empty(), "{elsewhere:?}");
    let answer = reqwest::blocking::get(&own).unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
}

/// As axe-core sees it, in every view, light and dark, wide and on a phone, where nothing is too wide.
fn is_accessible(browser: &Browser, place: &Place) {
    for (colours, (width, height)) in [("light", WIDE), ("dark", PHONE)] {
        browser.resize(width, height);
        browser.prefer(colours);
        for view in VIEWS {
            show(browser, place, &format!("#/{view}?by=department"));
            let seen = browser.run("return document.documentElement.scrollWidth", &[]);
            assert!(seen.as_u64().unwrap() <= u64::from(width), "{view} is {seen} wide on {width}");
            browser.is_accessible(&format!("{view}, {colours}"));
        }
    }
    browser.resize(WIDE.0, WIDE.1);
    browser.prefer("light");
}

/// A page that follows changes keeps no service from its end, and says that it is gone.
fn ends_with_a_page_open(browser: &Browser, place: &Place, running: &mut Running) {
    show(browser, place, "#/overview");
    browser.wait("the page is connected", "return !!document.querySelector('.live.on')");
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    assert!(!running.log().contains("open connections were dropped"), "{}", running.log());
    browser.wait("the page says so", "return !!document.querySelector('.live.off')");
    *running = place.program.start("again", &["run"]).unwrap();
    browser.wait("the page is connected again", "return !!document.querySelector('.live.on')");
}

#[test]
fn raw_records_are_shown_to_those_who_may_see_them() {
    let place = offline("time: data");
    let hash = access::verifier(&place);
    let users = format!("users:\n  ann: {{ password: '{hash}', raw_data: true }}\n  bob: {{ password: '{hash}' }}\n");
    let path = place.path().join("satisflow.yaml");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + &users).unwrap();
    std::fs::write(place.path().join("records.jsonl"), "{\"kind\": \"rating\", \"phone\": \"555-0100\"}\n").unwrap();
    place.program.succeed(&["replay", "records.jsonl"]).unwrap();
    let _running = place.program.start("run", &["run"]).unwrap();
    wait_for("HTTP answers", LIMIT, || scrape(place.http)).unwrap();
    let browser = Browser::start("en-US");
    for (user, told) in [("ann", "555-0100"), ("bob", "The raw record of 39 bytes is not shown to this user.")] {
        browser.log_in(user, access::PASSWORD);
        show(&browser, &place, "#/rejects");
        browser.click(".rejects summary");
        let text = browser.text(".rejects");
        assert!(text.contains(told) && text.contains("555-0100") == (user == "ann"), "{user}: {text}");
    }
}

#[test]
fn a_thousand_groups_are_searched_and_not_all_drawn() {
    let many = "count(distinct case when window_name = 'all' and kpi = 'csat' and n > 0 then department end) > 900";
    let (place, _running) = serve("page-many", 12_000, 72, many, &["--departments", "1000", "--clean"]);
    let browser = Browser::start("en-US");
    browser.resize(WIDE.0, WIDE.1);
    show(&browser, &place, "#/overview?kpi=csat&window=all&by=department");
    let shown = browser.text(".groups > div > .hint");
    let all = shown.split(" of ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().replace(',', "");
    assert!(all.parse::<u32>().unwrap() > 900 && browser.count(".groups tbody tr") == 25, "{shown}");
    let name = browser.text(".groups tbody tr:nth-child(7) button");
    browser.send("[data-key=search-groups]", &name);
    browser.wait("the group is found", "return document.querySelectorAll('.groups tbody tr').length < 12");
    browser.click(".groups tbody button.link");
    browser.wait(
        "its trend is shown",
        "return !!document.querySelector('h1 .of') && !!document.querySelector('.chart .dot')",
    );
    show(&browser, &place, "#/pareto?kpi=csat&window=all&by=department");
    assert_eq!(browser.count(".bar"), 31, "the rest is one bar");
    browser.resize(PHONE.0, PHONE.1);
    for view in VIEWS {
        show(&browser, &place, &format!("#/{view}?kpi=csat&window=all&by=department"));
        let seen = browser.run("return document.documentElement.scrollWidth", &[]);
        assert!(seen.as_u64().unwrap() <= u64::from(PHONE.0), "{view} is {seen} wide");
    }
    let slow = browser.run(
        "return performance.getEntriesByType('resource').filter(one => one.name.endsWith('/sql')).map(one => one.duration)",
        &[],
    );
    assert!(slow.as_array().is_some_and(|all| all.iter().all(|one| one.as_f64().unwrap() < 30_000.0)), "{slow}");
}

/// `make screenshots`: the pictures of docs/images.
#[test]
fn pictures() {
    let Ok(folder) = std::env::var("SATISFLOW_SCREENSHOTS") else { return };
    let (place, _running) = serve("page-pictures", 40_000, 24, PUBLISHED, &[]);
    let browser = Browser::start("en-US");
    browser.resize(1280, 860);
    let writer = Writer::new(&brokers(), "page-pictures").unwrap();
    for minutes_ago in [20, 12] {
        writer.write(0, &ratings("Returns", 150, 1, &format!("bad-{minutes_ago}"), minutes_ago)).unwrap();
    }
    show(&browser, &place, "#/alerts");
    browser.wait("alerts are open", "return document.querySelectorAll('.alert').length > 2");
    for (name, hash) in [
        ("alerts", "#/alerts"),
        ("overview", "#/overview?kpi=csat&window=1h"),
        ("trend", "#/trend?kpi=csat&window=1h"),
        ("control", "#/control?kpi=dissatisfied_share&window=1h"),
    ] {
        show(&browser, &place, hash);
        save(&browser, &format!("{folder}/{name}.png"));
    }
}

fn save(browser: &Browser, path: &str) {
    use base64::Engine;
    std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(browser.picture()).unwrap();
    assert!(bytes.len() < 300_000, "{path} has {} bytes", bytes.len());
    std::fs::write(path, bytes).unwrap();
}
