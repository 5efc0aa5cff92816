//! What deploys the service: no container is started here, but what the files say is held against the program.

use std::path::Path;
use std::process::Command;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use satisflow_testkit::{free_port, repository, wait_for};
use serde_json::Value;

use crate::access::{own_address, verifier};
use crate::alerts::{asked, start};
use crate::place::{LIMIT, Place, offline};

fn as_json(node: &Yaml) -> Value {
    match node {
        Yaml::Sequence(items) => items.iter().map(as_json).collect(),
        Yaml::Mapping(entries) => {
            let entry = |(key, value): (&Yaml, &Yaml)| (key.as_str().unwrap().to_owned(), as_json(value));
            Value::Object(entries.iter().map(entry).collect())
        }
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        other => panic!("{other:?}"),
    }
}

/// The documents of a file.
pub fn yaml(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    Yaml::load_from_str(&text).unwrap().iter().map(as_json).collect()
}

const COMPOSE: &str = "docker/compose.yaml";
const KUBERNETES: &str = "deploy/kubernetes/satisflow.yaml";

/// Every value of a field, however deep.
fn all<'a>(node: &'a Value, field: &str, found: &mut Vec<&'a Value>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| all(item, field, found)),
        Value::Object(entries) => {
            for (name, value) in entries {
                if name == field {
                    found.push(value);
                }
                all(value, field, found);
            }
        }
        _ => {}
    }
}

fn of_kind(kind: &str) -> Value {
    yaml(KUBERNETES).into_iter().find(|one| one["kind"] == kind).unwrap()
}

#[test]
fn every_image_is_of_one_version() {
    let documents: Vec<_> = [yaml(COMPOSE), yaml(KUBERNETES)].concat();
    let mut images = Vec::new();
    documents.iter().for_each(|document| all(document, "image", &mut images));
    let dockerfile = std::fs::read_to_string(repository().join("docker/Dockerfile")).unwrap();
    let bases =
        dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).map(|line| line.split(' ').next().unwrap());
    let images: Vec<_> = images.into_iter().map(|image| image.as_str().unwrap()).chain(bases).collect();
    assert!(images.len() > 10, "{images:?}");
    for image in images {
        let (_, version) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        assert!(
            version != "latest" && (version.contains(char::is_numeric) || version.starts_with("bookworm")),
            "{image}"
        );
        if image.starts_with("satisflow:") {
            assert_eq!(version, env!("CARGO_PKG_VERSION"), "{image}");
        }
    }
}

#[test]
fn what_compose_mounts_and_waits_for_is_there() {
    let compose = yaml(COMPOSE).remove(0);
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let there = if from.starts_with('.') {
                repository().join("docker").join(from).exists()
            } else {
                compose["volumes"].get(from).is_some()
            };
            assert!(there, "{name}: {volume}");
        }
        for (needed, how) in service["depends_on"].as_object().into_iter().flatten() {
            let needed = &services[needed];
            // Satisflow's own is in its image.
            let healthy = needed["healthcheck"]["test"].is_array() || needed["image"] == service_image();
            assert!(how["condition"] == "service_completed_successfully" || healthy, "{name} waits for {needed}");
        }
    }
}

fn service_image() -> String {
    format!("satisflow:{}", env!("CARGO_PKG_VERSION"))
}

fn copy_to(place: &Place, file: &str) {
    let name = Path::new(file).file_name().unwrap();
    std::fs::copy(repository().join(file), place.path().join(name)).unwrap();
}

/// What the shell of a service of compose prints, with other words in its command.
fn run_of(place: &Place, service: &str, other: &[(&str, &str)]) -> String {
    let compose = yaml(COMPOSE).remove(0);
    // Compose takes `$$` for `$`.
    let mut command = compose["services"][service]["entrypoint"][2].as_str().unwrap().replace("$$", "$");
    let shell = compose["services"][service]["entrypoint"][1].as_str().unwrap().to_owned();
    for (theirs, here) in other {
        assert!(command.contains(theirs), "{theirs}: {command}");
        command = command.replace(theirs, here);
    }
    let path = format!("{}:{}", place.program.binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let done = Command::new("sh").args([&shell, &command]).env("PATH", path).output().unwrap();
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A folder with the configuration of compose, and its secrets.
fn compose() -> Place {
    let place = offline("");
    copy_to(&place, "docker/satisflow.yaml");
    copy_to(&place, "docker/catalog.yaml");
    std::fs::create_dir(place.path().join("secrets")).unwrap();
    make_secrets(&place);
    place
}

fn make_secrets(place: &Place) {
    run_of(place, "secrets", &[("/etc/satisflow", place.path().to_str().unwrap())]);
}

#[test]
fn the_secrets_of_compose_are_made_once_and_let_in_those_whom_they_are_for() {
    let place = compose();
    let secret = |name: &str| std::fs::read_to_string(place.path().join("secrets").join(name)).unwrap();
    let before = secret("admin.hash");
    make_secrets(&place);
    assert_eq!(secret("admin.hash"), before, "they are kept");
    move_here(&place);
    let mut running = place.program.start("run", &["run"]).unwrap();
    let check = yaml(COMPOSE).remove(0)["services"]["satisflow"]["healthcheck"]["test"].clone();
    let here = check[3].as_str().unwrap().replace("8443", &place.http.to_string());
    let is_healthy = || Command::new("bash").args(["-c", &here]).status().unwrap().success().then_some(());
    wait_for("the container is healthy", LIMIT, is_healthy).unwrap();
    for user in ["admin", "grafana"] {
        let target = format!(
            "host=localhost port={} dbname=satisflow user={user} sslmode=verify-full sslrootcert=secrets/tls.crt",
            place.sql
        );
        let mut psql = Command::new("psql");
        psql.current_dir(place.path()).env("PGPASSWORD", secret(&format!("{user}.password")).trim());
        let done = psql.args(["-wAtc", "select 1", &target]).output().unwrap();
        assert!(done.stdout == b"1\n", "{user}: {}", String::from_utf8_lossy(&done.stderr));
    }
    scrapes_with_its_token(&place);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// The shipped Prometheus, but for where it finds what.
fn scrapes_with_its_token(place: &Place) {
    let port = free_port().unwrap();
    let mut ours = std::fs::read_to_string(repository().join("docker/prometheus/prometheus.yml")).unwrap();
    for (theirs, here) in [
        ("scrape_interval: 5s", "scrape_interval: 1s"),
        ("/etc/prometheus/rules/rules.yml", "rules.yml"),
        ("/etc/prometheus/secrets/", "secrets/"),
        ("satisflow:8443", &format!("localhost:{}", place.http)),
    ] {
        assert!(ours.contains(theirs), "{theirs}");
        ours = ours.replace(theirs, here);
    }
    std::fs::write(place.path().join("prometheus.yml"), ours).unwrap();
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &listen].map(str::to_owned);
    let _prometheus = start(place, "prometheus", &arguments);
    let is_up = || asked(port, "up{job=\"satisflow\"}").filter(|up| *up > 0.5);
    wait_for("Prometheus has scraped", LIMIT, is_up).unwrap();
}

#[test]
fn the_configuration_of_compose_is_in_order_and_gives_rules_and_a_sample() {
    let place = compose();
    place.program.succeed(&["check", "--config", "satisflow.yaml"]).unwrap();
    let folder = place.path().to_str().unwrap();
    // As the services `rules` and `sample` of compose do it, but into this folder, and a hundredth of it.
    let into_folder = [("/etc/satisflow/rules/", &format!("{folder}/")), ("/etc/satisflow", &folder.to_owned())];
    run_of(&place, "rules", &into_folder.map(|(theirs, here)| (theirs, here.as_str())));
    let few = [("--brokers kafka:9092 --topic feedback ", ""), ("100000 --rate 200", "1000 --clean")];
    let events = run_of(&place, "sample", &few);
    std::fs::write(place.path().join("events.jsonl"), events).unwrap();
    let here = std::fs::read_to_string(place.path().join("satisflow.yaml")).unwrap().replace("/var/lib/satisflow/", "");
    std::fs::write(place.path().join("satisflow.yaml"), here).unwrap();
    place.program.succeed(&["replay", "events.jsonl"]).unwrap();
    assert!(place.number("select count(*) from events where event_time > now() - interval '25 hours'").unwrap() > 990);
    let checked =
        Command::new("promtool").args(["check", "rules", "rules.yml"]).current_dir(place.path()).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("rules found"), "{said}");
    for (program, arguments) in
        [("promtool", ["check", "config", "--syntax-only"].as_slice()), ("amtool", &["check-config"])]
    {
        let (tool, file) =
            if program == "amtool" { ("alertmanager", "alertmanager.yml") } else { ("prometheus", "prometheus.yml") };
        let file = repository().join("docker").join(tool).join(file);
        let done = Command::new(program).args(arguments).arg(file).output().unwrap();
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

/// A folder with the configuration of Kubernetes, and its secrets.
fn kubernetes() -> Place {
    let place = offline("");
    satisflow_testkit::make_key(place.path()).unwrap();
    std::fs::write(place.path().join("grafana"), verifier(&place) + "\n").unwrap();
    let map = of_kind("ConfigMap");
    let text = map["data"]["satisflow.yaml"].as_str().unwrap();
    let folder = place.path().display();
    let here = text
        .replace("/run/secrets/satisflow/tls/tls.crt", &format!("{folder}/{}", satisflow_testkit::CERTIFICATE))
        .replace("/run/secrets/satisflow/tls/tls.key", &format!("{folder}/{}", satisflow_testkit::KEY))
        .replace("/run/secrets/satisflow/users/grafana", &format!("{folder}/grafana"));
    std::fs::write(place.path().join("satisflow.yaml"), here).unwrap();
    place
}

#[test]
fn the_configuration_of_kubernetes_is_in_order_with_its_secrets() {
    let place = kubernetes();
    place.program.succeed(&["check", "--config", "satisflow.yaml"]).unwrap();
    // And it would not be without them.
    let here = std::fs::read_to_string(place.path().join("satisflow.yaml")).unwrap();
    let (before, rest) = here.split_once("users:").unwrap();
    let open = format!("{before}{}", &rest[rest.find("sql:").unwrap()..]);
    std::fs::write(place.path().join("satisflow.yaml"), open).unwrap();
    assert_eq!(place.program.run(&["check", "--config", "satisflow.yaml"]).unwrap().code, 1);
}

#[test]
fn every_mount_of_kubernetes_is_a_volume_and_every_secret_is_explained() {
    let set = of_kind("StatefulSet");
    let (mut mounts, mut secrets, mut names) = (Vec::new(), Vec::new(), Vec::new());
    all(&set, "volumeMounts", &mut mounts);
    all(&set, "secretName", &mut secrets);
    for pointer in ["/spec/template/spec/volumes", "/spec/volumeClaimTemplates"] {
        all(set.pointer(pointer).unwrap(), "name", &mut names);
    }
    for mount in mounts.iter().flat_map(|list| list.as_array().unwrap()) {
        assert!(names.contains(&&mount["name"]), "{mount}");
    }
    let text = std::fs::read_to_string(repository().join(KUBERNETES)).unwrap();
    assert_eq!(secrets.len(), 2);
    for secret in secrets {
        assert!(
            text.contains(&format!(" {} --from", secret.as_str().unwrap()))
                || text.contains(&format!(" {} --cert", secret.as_str().unwrap()))
        );
    }
    for container in set["spec"]["template"]["spec"]["containers"].as_array().unwrap() {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{container}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
    }
    let selector = &of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"];
    assert_eq!(selector, &set["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(selector, &of_kind("Service")["spec"]["selector"]);
}

#[test]
fn probes_ask_paths_that_the_service_answers() {
    let place = offline("time: data");
    let dockerfile = std::fs::read_to_string(repository().join("docker/Dockerfile")).unwrap();
    let check = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
    let command: Vec<String> = serde_json::from_str(&check[check.find('[').unwrap()..]).unwrap();
    assert!(command[2].contains("/127.0.0.1/8080"), "{command:?}");
    let here = command[2].replace("8080", &place.http.to_string());
    let healthy = || Command::new(&command[0]).args([&command[1], &here]).status().unwrap().success();
    assert!(!healthy(), "nothing runs yet");
    let mut running = place.program.start("run", &["run"]).unwrap();
    wait_for("the image's check", LIMIT, || healthy().then_some(())).unwrap();
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// The configuration of a container, for this place: there is no broker, and ports are others.
fn move_here(place: &Place) {
    let path = place.path().join("satisflow.yaml");
    let there = std::fs::read_to_string(&path).unwrap();
    let here = there
        .replace("/var/lib/satisflow/lake", "lake")
        .replace("kafka:9092", "127.0.0.1:1")
        .replace(":5433", &format!(":{}", place.sql))
        .replace(":8443", &format!(":{}", place.http));
    std::fs::write(path, here).unwrap();
}

/// As the kubelet asks: by address, by TLS, whoever has signed it, and without a login. And as Prometheus does.
#[test]
fn kubernetes_probes_what_its_configuration_serves() {
    let place = kubernetes();
    move_here(&place);
    let mut running = place.program.start("run", &["run"]).unwrap();
    let status = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}"]);
        let url = format!("https://{}:{}{path}", own_address(), place.http);
        String::from_utf8(command.arg(url).output().unwrap().stdout).unwrap()
    };
    wait_for("the pod is healthy", LIMIT, || (status("/healthz") == "200").then_some(())).unwrap();
    let set = of_kind("StatefulSet");
    let mut probes = Vec::new();
    all(&set, "httpGet", &mut probes);
    assert_eq!(probes.len(), 3);
    let ports = ports_of(&set);
    for probe in probes {
        assert!(probe["scheme"] == "HTTPS" && ports["https"] == 8443 && probe["port"] == "https", "{probe}");
        // Ready or not, it is a path: 404 would be none.
        let status = status(probe["path"].as_str().unwrap());
        assert!(["200", "503"].contains(&status.as_str()), "{probe}: {status}");
    }
    let annotations = &set["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations["prometheus.io/scheme"] == "https" && annotations["prometheus.io/port"] == "8443");
    assert_eq!([status("/metrics"), status("/api/catalog"), status("/api/session")], ["200", "401", "401"]);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// Ports of the containers by their names.
fn ports_of(set: &Value) -> Value {
    let ports = set.pointer("/spec/template/spec/containers/0/ports").unwrap().as_array().unwrap();
    let named = |port: &Value| (port["name"].as_str().unwrap().to_owned(), port["containerPort"].clone());
    Value::Object(ports.iter().map(named).collect())
}

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let place = offline("");
    let unit = std::fs::read_to_string(repository().join("deploy/systemd/satisflow.service")).unwrap();
    let here = unit.replace("/usr/local/bin/satisflow", place.program.binary().to_str().unwrap());
    std::fs::write(place.path().join("satisflow.service"), here).unwrap();
    // The threshold is in tenths: 1.5 of 10.
    for arguments in [["verify"].as_slice(), &["security", "--offline=true", "--threshold=15"]] {
        let mut command = Command::new("systemd-analyze");
        let done = command.args(arguments).arg(place.path().join("satisflow.service")).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{said}");
        assert!(arguments[0] != "verify" || said.is_empty(), "{said}");
    }
}
