//! The log: lines of text or JSON on stderr.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Starts logging to stderr. `level`: `info`, or a filter such as `info,unstick=debug`.
///
/// # Errors
/// When `level` is no filter. A second call changes nothing.
pub fn init(level: &str, format: LogFormat) -> Result<(), ParseError> {
    let _ = tracing::subscriber::set_global_default(subscriber(filter(level)?, format, std::io::stderr));
    Ok(())
}

/// kube's client logs whole bodies that it can't parse, and every failed request as an error of its own; whoever
/// sent the request reports it, so its target is silent unless the level names it.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::builder().parse(level)?;
    for (target, directive) in [("kube", "kube_client=off"), ("tower", "tower=warn"), ("hyper", "hyper=warn")] {
        if !level.contains(target) {
            filter = filter.add_directive(directive.parse()?);
        }
    }
    Ok(filter)
}

fn subscriber<W>(filter: EnvFilter, format: LogFormat, to: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(to);
    match format {
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
            Box::new(builder.with_ansi(colour).finish())
        }
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bodies_that_kube_logs_never_show_and_our_lines_are_json() {
        let kept = Kept::default();
        let to = kept.clone();
        let subscriber = subscriber(filter("info").unwrap(), LogFormat::Json, move || to.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "kube_client::client", "the whole body");
            tracing::info!(workflow = "etl/load", "stuck");
            tracing::debug!("quiet");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!((lines[0]["workflow"].as_str(), lines[0]["message"].as_str()), (Some("etl/load"), Some("stuck")));
        assert!(filter("not=a=level").is_err());
    }
}
