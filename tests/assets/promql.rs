//! A contract check for queries: does an expression fit the catalogue, and does it avoid the mistakes that leave an alert or
//! a panel silently empty? Follows what pint and dashboard-linter look for, on the metrics this product has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{
    self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, token,
};
use unstick::metrics::catalogue::{Kind, OTHER, catalogue};

/// Labels of a result, or of a recorded series.
pub type Labels = BTreeSet<String>;

/// Recorded series by name, with the labels they carry.
pub type Recorded = BTreeMap<String, Labels>;

/// Labels the scrape or a central Prometheus adds.
const TARGET_LABELS: [&str; 3] = ["cluster", "instance", "job"];

/// Shortest useful range: four scrapes of 30 s.
const SHORTEST_RANGE: Duration = Duration::from_mins(2);

/// What a selector stands in.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Nothing,
    /// rate, irate, increase.
    Rate,
    /// `delta`, `idelta`, `deriv`, `predict_linear`.
    Slope,
    /// absent, count and others for which the value is irrelevant.
    Anything,
}

/// Checks one expression.
///
/// Returns the labels its result carries, and what is wrong with it.
pub fn check(expr: &str, recorded: &Recorded) -> (Labels, Vec<String>) {
    let mut c = Checker { recorded, problems: Vec::new(), quantile: false };
    let labels = match parser::parse(expr) {
        Ok(e) => c.walk(&e, Within::Nothing),
        Err(e) => {
            c.problems.push(format!("does not parse: {e}"));
            Labels::new()
        }
    };
    let shown = expr.split_whitespace().collect::<Vec<_>>().join(" ");
    (labels, c.problems.into_iter().map(|p| format!("{p}, in: {shown}")).collect())
}

struct Checker<'a> {
    recorded: &'a Recorded,
    problems: Vec<String>,
    /// Inside `histogram_quantile`.
    quantile: bool,
}

impl Checker<'_> {
    fn walk(&mut self, e: &Expr, within: Within) -> Labels {
        match e {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Labels::new(),
            Expr::Paren(p) => self.walk(&p.expr, within),
            Expr::Unary(u) => self.walk(&u.expr, within),
            Expr::Subquery(s) => {
                self.problems.push("a subquery; record the inner expression instead".into());
                self.walk(&s.expr, within)
            }
            Expr::VectorSelector(v) => self.selector(v, within),
            Expr::MatrixSelector(m) => {
                if m.range < SHORTEST_RANGE {
                    self.problems.push(format!("range {:?} is shorter than four scrapes", m.range));
                }
                self.selector(&m.vs, within)
            }
            Expr::Call(call) => self.call(call, within),
            Expr::Aggregate(a) => self.aggregate(a, within),
            Expr::Binary(b) => self.binary(b, within),
        }
    }

    fn selector(&mut self, v: &VectorSelector, within: Within) -> Labels {
        let Some(name) = &v.name else {
            self.problems.push("a selector without a metric name reads everything".into());
            return Labels::new();
        };
        let mut labels: Labels = TARGET_LABELS.iter().map(|l| (*l).to_owned()).collect();
        let c = catalogue();
        let family = if let Some(known) = self.recorded.get(name) {
            labels.extend(known.iter().cloned());
            None
        } else if let Some((f, suffix)) = c.family_of_sample(name) {
            labels.extend(f.labels.iter().cloned());
            let counts = f.kind == Kind::Counter || !suffix.is_empty();
            match within {
                Within::Rate if !counts => self.problems.push(format!("{name} is a gauge: no rate or increase of it")),
                Within::Slope if counts => {
                    self.problems.push(format!("{name} is a counter: rate or increase, not a slope"));
                }
                Within::Nothing if counts => {
                    self.problems.push(format!("{name} is a counter: its bare value means nothing"));
                }
                _ => {}
            }
            if suffix == "_bucket" {
                labels.insert("le".into());
                if !self.quantile {
                    self.problems.push(format!("{name} outside histogram_quantile"));
                }
            }
            Some(f)
        } else {
            self.problems.push(format!("{name} is not in the catalogue"));
            return labels;
        };
        for m in v.matchers.matchers.iter().chain(v.matchers.or_matchers.iter().flatten()) {
            if !labels.contains(&m.name) {
                self.problems.push(format!("{name} has no label {}", m.name));
            } else if let Some(f) = family {
                let closed = c.closed_values(f, &m.name);
                for value in alternatives(m) {
                    let allowed =
                        closed.is_empty() || closed.contains(&value) || value == OTHER && f.fold.contains(&m.name);
                    if !allowed {
                        self.problems.push(format!("{name}: {} is never {value:?}", m.name));
                    }
                }
            }
        }
        labels
    }

    fn call(&mut self, call: &Call, within: Within) -> Labels {
        let within = match call.func.name {
            "rate" | "irate" | "increase" => Within::Rate,
            "delta" | "idelta" | "deriv" | "predict_linear" => Within::Slope,
            "absent" | "absent_over_time" | "changes" | "resets" | "count_over_time" | "timestamp" => Within::Anything,
            _ => within,
        };
        let quantile = call.func.name == "histogram_quantile";
        self.quantile |= quantile;
        let mut labels = Labels::new();
        for arg in &call.args.args {
            labels.extend(self.walk(arg, within));
        }
        if quantile {
            self.quantile = false;
            if !labels.remove("le") {
                self.problems.push("histogram_quantile without le".into());
            }
        }
        if call.func.name.starts_with("absent") { Labels::new() } else { labels }
    }

    fn aggregate(&mut self, a: &AggregateExpr, within: Within) -> Labels {
        let name = a.op.to_string();
        let inner = self.walk(&a.expr, if name == "count" || name == "group" { Within::Anything } else { within });
        if ["topk", "bottomk"].contains(&name.as_str()) {
            return inner;
        }
        match &a.modifier {
            None => Labels::new(),
            Some(m) => {
                self.known(&m.labels().labels, &inner, "grouped by");
                let named: Labels = m.labels().labels.iter().cloned().collect();
                if m.is_include() { named } else { inner.difference(&named).cloned().collect() }
            }
        }
    }

    fn binary(&mut self, b: &BinaryExpr, within: Within) -> Labels {
        let left = self.walk(&b.lhs, within);
        // What stands right of `and` or `unless` is only asked whether it exists.
        let exists_only = matches!(b.op.id(), token::T_LAND | token::T_LUNLESS);
        let right = self.walk(&b.rhs, if exists_only { Within::Anything } else { within });
        if b.op.id() == token::T_DIV && !guarded(&b.rhs) {
            self.problems.push("the divisor can be 0: guard it with (… > 0)".into());
        }
        let scalar =
            |e: &Expr| matches!(e, Expr::NumberLiteral(_)) || matches!(e, Expr::Call(c) if c.func.name == "time");
        if scalar(&b.lhs) {
            return right;
        }
        if scalar(&b.rhs) {
            return left;
        }
        let mut joined = Labels::new();
        let mut explicit = false;
        if let Some(m) = &b.modifier {
            if let Some(matching) = &m.matching {
                explicit = true;
                self.known(&matching.labels().labels, &left, "left side matched on");
                self.known(&matching.labels().labels, &right, "right side matched on");
                if let (LabelModifier::Include(on), true) = (matching, m.card.labels().is_none()) {
                    joined.extend(on.labels.iter().cloned());
                }
            }
            if let Some(taken) = m.card.labels() {
                let (many, one) = match m.card {
                    VectorMatchCardinality::OneToMany(_) => (&right, &left),
                    _ => (&left, &right),
                };
                self.known(&taken.labels, one, "group_left or group_right of");
                joined.extend(many.iter().chain(&taken.labels).cloned());
            }
        }
        if b.op.id() == token::T_LOR {
            return left.union(&right).cloned().collect();
        }
        if exists_only {
            return left;
        }
        if !explicit && left != right {
            self.problems.push(format!("sides with labels {left:?} and {right:?} never match"));
        }
        if joined.is_empty() { left } else { joined }
    }

    fn known(&mut self, wanted: &[String], there: &Labels, what: &str) {
        for l in wanted.iter().filter(|l| !there.contains(*l)) {
            self.problems.push(format!("{what} {l}, a label that is not there"));
        }
    }
}

/// A number that isn't 0, or a comparison that lets only positive values through.
fn guarded(e: &Expr) -> bool {
    match e {
        Expr::Paren(p) => guarded(&p.expr),
        Expr::NumberLiteral(n) => n.val != 0.0,
        Expr::Binary(b) => {
            let limit =
                matches!(&*b.rhs, Expr::NumberLiteral(n) if n.val > 0.0 || (n.val == 0.0 && b.op.id() == token::T_GTR));
            matches!(b.op.id(), token::T_GTR | token::T_GTE) && limit && !b.return_bool()
        }
        _ => false,
    }
}

/// The values a matcher names; none for a real regular expression or an empty value.
fn alternatives(m: &Matcher) -> Vec<String> {
    let plain = |s: &str| !s.is_empty() && !s.contains(['.', '*', '+', '[', '(', '\\', '$', '?']);
    match m.op {
        MatchOp::Equal | MatchOp::NotEqual => [m.value.clone()].into_iter().filter(|v| !v.is_empty()).collect(),
        MatchOp::Re(_) | MatchOp::NotRe(_) => m.value.split('|').filter(|v| plain(v)).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(expr: &str) -> Vec<String> {
        check(expr, &Recorded::new()).1
    }

    #[test]
    fn the_mistakes_of_others_are_found() {
        // Expression, and a part of the problem.
        let cases = [
            ("time() - workflow_start_time_seconds > 86400", "not in the catalogue"),
            ("rate(unstick_workflows[5m])", "is a gauge"),
            ("deriv(unstick_relists_total[5m])", "is a counter"),
            ("unstick_relists_total > 5", "bare value"),
            ("avg(unstick_stage_duration_seconds)", "not in the catalogue"),
            ("unstick_workflows{status=\"Running\"}", "no label status"),
            ("unstick_workflows{phase=\"Stuck\"}", "never \"Stuck\""),
            ("unstick_workflows{phase=~\"Failed|Eror\"}", "never \"Eror\""),
            ("sum by (task_id) (unstick_workflows)", "not there"),
            ("rate(unstick_relists_total[1m])", "shorter than four scrapes"),
            ("rate({result=\"pass\"}[5m])", "without a metric name"),
            (
                "sum(rate(unstick_agent_executions_total[1h])) / sum(rate(unstick_agent_executions_total[1h]))",
                "can be 0",
            ),
            ("histogram_quantile(0.9, sum by (stage) (rate(unstick_stage_duration_seconds_bucket[1h])))", "without le"),
            ("sum(rate(unstick_stage_duration_seconds_bucket[1h]))", "outside histogram_quantile"),
            ("unstick_leader + unstick_workflows", "never match"),
            ("unstick_leader + on (phase) unstick_workflows", "left side matched on phase"),
            ("max_over_time(rate(unstick_relists_total[5m])[1h:1m])", "subquery"),
            ("sum(", "does not parse"),
        ];
        for (expr, expected) in cases {
            let found = problems(expr);
            assert!(found.iter().any(|p| p.contains(expected)), "{expr}: expected {expected:?} in {found:?}");
        }
    }

    #[test]
    fn good_expressions_pass_with_their_labels() {
        let cases: [(&str, &[&str]); 7] = [
            (
                "max by (namespace) (unstick_workflows) * on (namespace) group_right () max by (namespace, lock) (unstick_lock_waiters)",
                &["lock", "namespace"],
            ),
            ("absent(unstick_build_info)", &[]),
            ("sum by (namespace) (unstick_workflows{phase=~\"Failed|Error\"})", &["namespace"]),
            ("sum(unstick_workflows{workflow_type=\"other\"}) or vector(0)", &[]),
            (
                "histogram_quantile(0.9, sum by (le, stage) (rate(unstick_stage_duration_seconds_bucket[1h])))",
                &["stage"],
            ),
            (
                "sum by (github_app) (increase(unstick_agent_executions_total{result=\"Success\"}[1h])) \
                 / (sum by (github_app) (increase(unstick_agent_executions_total[1h])) > 0)",
                &["github_app"],
            ),
            (
                "max by (namespace, workflow_name) (unstick_workflow_stuck) * on (namespace, workflow_name) group_left (task_id) \
                 max by (namespace, workflow_name, task_id) (unstick_workflow_info)",
                &["namespace", "task_id", "workflow_name"],
            ),
        ];
        for (expr, labels) in cases {
            let (found, problems) = check(expr, &Recorded::new());
            assert_eq!(problems, Vec::<String>::new());
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), labels, "{expr}");
        }
    }
}
