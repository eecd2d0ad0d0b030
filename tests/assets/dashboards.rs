//! The dashboards: bare JSON that Grafana 10 and later loads, queries that fit the catalogue, filters that filter, and every panel
//! explained. No Grafana server is run here; what it does with the JSON beyond these rules is not proven.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use unstick::metrics::catalogue::catalogue;

use crate::promql::{self, Labels, Recorded};
use crate::{assert_none, files, read, repo};

/// Panel types of Grafana 10 and later; `graph` and other Angular panels are gone there.
const TYPES: [&str; 6] = ["row", "stat", "timeseries", "table", "bargauge", "heatmap"];
/// Grafana's ids of the units in use.
const UNITS: [&str; 5] = ["short", "s", "percentunit", "bytes", "reqps"];

fn each(mut check: impl FnMut(&str, &Value, &mut Vec<String>)) {
    let mut problems = Vec::new();
    let found = files("dashboards", ".json");
    assert!(!found.is_empty());
    for path in found {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let board: Value = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{name}: {e}"));
        check(&name, &board, &mut problems);
    }
    assert_none(&problems);
}

fn list<'a>(v: &'a Value, key: &str) -> &'a [Value] {
    v[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_default()
}

#[test]
fn the_frame_is_what_provisioning_expects() {
    let mut uids = BTreeSet::new();
    each(|name, b, problems| {
        let mut say = |t: String| problems.push(format!("{name}: {t}"));
        if !b["dashboard"].is_null() || !b["id"].is_null() {
            say("the wrapper of the HTTP API, or an id".into());
        }
        if !text(b, "uid").starts_with("unstick-") || !uids.insert(text(b, "uid").to_owned()) {
            say(format!("uid {:?}", text(b, "uid")));
        }
        for (key, expected) in [("refresh", "30s"), ("timezone", "utc")] {
            if text(b, key) != expected {
                say(format!("{key} {:?}", text(b, key)));
            }
        }
        if text(&b["time"], "from") != "now-24h" || b["schemaVersion"].as_i64().is_none_or(|v| v < 39) {
            say("time or schemaVersion".into());
        }
        if text(b, "title").is_empty() || text(b, "description").is_empty() || list(b, "tags").is_empty() {
            say("title, description or tags".into());
        }
    });
}

#[test]
fn every_panel_is_explained_and_fits_the_grid() {
    each(|name, b, problems| {
        let mut ids = BTreeSet::new();
        let mut cells: BTreeMap<(i64, i64), &str> = BTreeMap::new();
        let mut titles = BTreeSet::new();
        for p in list(b, "panels") {
            let title = text(p, "title");
            let mut say = |t: String| problems.push(format!("{name}, {title:?}: {t}"));
            if !ids.insert(p["id"].as_i64()) || !titles.insert(title) || title.is_empty() {
                say("id or title is missing or there twice".into());
            }
            if !TYPES.contains(&text(p, "type")) {
                say(format!("type {:?}", text(p, "type")));
            }
            let at = |k: &str| p["gridPos"][k].as_i64().unwrap_or(-1);
            if at("x") < 0 || at("x") + at("w") > 24 || at("h") < 1 {
                say("outside the grid".into());
            }
            for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                if let Some(other) = cells.insert((x, y), title) {
                    say(format!("overlaps {other:?}"));
                    break;
                }
            }
            if text(p, "type") == "row" {
                if p["collapsed"] != Value::Bool(false) || !list(p, "panels").is_empty() {
                    say("a row holds no panels".into());
                }
                continue;
            }
            if text(p, "description").len() < 20 {
                say("no description".into());
            }
            let defaults = &p["fieldConfig"]["defaults"];
            if !UNITS.contains(&text(defaults, "unit")) {
                say(format!("unit {:?}", text(defaults, "unit")));
            }
            if text(defaults, "noValue").is_empty() {
                say("no text for no value".into());
            }
            if list(p, "links").is_empty() {
                say("no link to what to do about it".into());
            }
            for s in list(&defaults["thresholds"], "steps").iter().take(1) {
                if !s["value"].is_null() {
                    say("the first threshold has no value".into());
                }
            }
        }
    });
}

#[test]
fn queries_fit_the_catalogue() {
    each(|name, b, problems| {
        for p in list(b, "panels").iter().filter(|p| text(p, "type") != "row") {
            let title = text(p, "title");
            let mut say = |t: String| problems.push(format!("{name}, {title:?}: {t}"));
            if !is_datasource(&p["datasource"]) {
                say("datasource is not the variable".into());
            }
            let mut refs = BTreeSet::new();
            let mut shown = Labels::new();
            if list(p, "targets").is_empty() {
                say("no query".into());
            }
            for t in list(p, "targets") {
                if !refs.insert(text(t, "refId")) || !is_datasource(&t["datasource"]) {
                    say("refId or datasource of a query".into());
                }
                let now = ["stat", "bargauge", "table"].contains(&text(p, "type"));
                if t["instant"] != Value::Bool(now) {
                    say("a panel of now asks for an instant, one of time for a range".into());
                }
                let (labels, found) = promql::check(&substituted(text(t, "expr")), &Recorded::new());
                found.into_iter().for_each(&mut say);
                filters(text(t, "expr")).into_iter().for_each(&mut say);
                for l in legend_labels(text(t, "legendFormat")) {
                    if !labels.contains(&l) {
                        say(format!("legend names {l}, which the result lacks"));
                    }
                }
                shown.extend(labels);
            }
            for o in list(&p["fieldConfig"], "overrides").iter().filter(|o| text(&o["matcher"], "id") == "byName") {
                let field = text(&o["matcher"], "options");
                let of_query = field.strip_prefix("Value #").is_some_and(|r| refs.contains(r));
                if !of_query && !shown.contains(field) {
                    say(format!("an override for {field:?}, which is no column"));
                }
            }
        }
        for a in list(&b["annotations"], "list") {
            problems.extend(promql::check(&substituted(text(a, "expr")), &Recorded::new()).1);
        }
    });
}

#[test]
fn variables_exist_are_used_and_match_what_is_absent() {
    each(|name, b, problems| {
        let body = serde_json::to_string(&b["panels"]).unwrap() + &serde_json::to_string(&b["annotations"]).unwrap();
        let variables = list(&b["templating"], "list");
        let names: Vec<&str> = variables.iter().map(|v| text(v, "name")).collect();
        for v in variables {
            let variable = text(v, "name");
            let mut say = |t: String| problems.push(format!("{name}, variable {variable}: {t}"));
            let query = text(&v["query"], "query");
            let elsewhere = variables.iter().any(|o| text(&o["query"], "query").contains(&format!("${variable}")));
            if !body.contains(&format!("${variable}")) && !body.contains(&format!("${{{variable}")) && !elsewhere {
                say("unused".into());
            }
            if text(v, "type") != "query" {
                continue;
            }
            // ".+" would leave out series without the label.
            if v["includeAll"] != Value::Bool(true)
                || text(v, "allValue") != ".*"
                || ![1, 2].contains(&v["refresh"].as_i64().unwrap_or(0))
            {
                say("includeAll, allValue or refresh".into());
            }
            let Some((selector, label)) =
                query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')?.rsplit_once(", "))
            else {
                say(format!("query {query:?}"));
                continue;
            };
            // absent(): the value is irrelevant, the labels aren't.
            promql::check(&format!("absent({})", substituted(selector)), &Recorded::new())
                .1
                .into_iter()
                .for_each(&mut say);
            let metric = selector.split('{').next().unwrap_or_default();
            let has = catalogue().family(metric).is_some_and(|f| f.labels.iter().any(|l| l == label));
            if !has && label != "cluster" {
                say(format!("{metric} has no label {label}"));
            }
            if label != variable {
                say(format!("is named otherwise than its label {label}"));
            }
        }
        for used in variables_in(&body) {
            let known = names.contains(&used.as_str()) || used.starts_with("__");
            if !known {
                problems.push(format!("{name}: ${used} is no variable"));
            }
        }
    });
}

#[test]
fn links_lead_to_files_of_the_repository() {
    each(|name, b, problems| {
        let body = serde_json::to_string(b).unwrap();
        for folder in ["runbooks", "docs"] {
            for rest in body.split(&format!("https://{folder}.example.com/unstick/")).skip(1) {
                let file = rest.split(['"', '#']).next().unwrap_or_default();
                if !repo(folder).join(file).is_file() {
                    problems.push(format!("{name}: {folder}/{file} is not there"));
                }
            }
        }
        let own = format!("/d/{}/", text(b, "uid"));
        if body.split("/d/").skip(1).any(|rest| !format!("/d/{rest}").starts_with(&own)) {
            problems.push(format!("{name}: a link to another dashboard"));
        }
    });
}

#[test]
fn alerts_link_to_a_dashboard_that_knows_their_variables() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    each(|_, b, _| {
        let names = list(&b["templating"], "list").iter().map(|v| text(v, "name").to_owned()).collect();
        known.insert(text(b, "uid").to_owned(), names);
    });
    let rules = crate::rules::load();
    for r in rules.alerts() {
        let url = &r.annotations["dashboard_url"];
        let (path, query) = url.split_once("/?").or_else(|| url.strip_suffix('/').map(|p| (p, ""))).unwrap();
        let variables = &known[path.rsplit('/').next().unwrap()];
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let variable = part.strip_prefix("var-").and_then(|p| p.split('=').next()).unwrap();
            assert!(variables.contains(variable), "{}: {url}", r.alert);
        }
    }
}

fn is_datasource(v: &Value) -> bool {
    text(v, "type") == "prometheus" && text(v, "uid") == "${datasource}"
}

/// The query as Grafana would send it with every variable at "All".
fn substituted(expr: &str) -> String {
    let mut out = expr.replace("$__rate_interval", "5m").replace("$time_range", "6h").replace("$__range", "1d");
    for v in variables_in(expr) {
        out = out.replace(&format!("\"${v}\""), "\".*\"");
    }
    out
}

/// `x` of every `$x` and `${x…}`.
fn variables_in(text: &str) -> BTreeSet<String> {
    let name = |s: &str| {
        s.trim_start_matches('{').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    };
    text.split('$').skip(1).map(name).filter(|n| !n.is_empty()).collect()
}

/// `x` of every `{{x}}`.
fn legend_labels(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).filter_map(|s| s.split("}}").next()).map(|s| s.trim().to_owned()).collect()
}

/// Every selector filters by each variable whose label its family has, so that a choice made above applies to all panels.
fn filters(expr: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let words = expr
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|w| w.starts_with("unstick_") || w.starts_with("process_"));
    for (word, at) in words.map(|w| (w, w.as_ptr() as usize - expr.as_ptr() as usize)) {
        let Some((family, _)) = catalogue().family_of_sample(word) else { continue };
        let rest = &expr[at + word.len()..];
        let selector = rest.strip_prefix('{').and_then(|r| r.split('}').next()).unwrap_or_default();
        for variable in ["cluster", "namespace", "workflow_type", "github_app", "workflow_name"] {
            let has = variable == "cluster" || family.labels.iter().any(|l| l == variable);
            let filtered = selector.contains(&format!("{variable}=~\"${variable}\""));
            if has && !filtered {
                problems.push(format!("{word} is not filtered by ${variable}"));
            }
        }
    }
    problems
}
