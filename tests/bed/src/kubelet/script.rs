//! What a pod is told to do, in its annotations.

use std::collections::BTreeMap;
use std::time::Duration;

/// What happens to the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Runs for `seconds`, then succeeds.
    Ok,
    /// Runs for `seconds`, then `main` exits with this code.
    Fail(i32),
    /// Its image can't be pulled.
    Pull,
    /// Its container can't be configured.
    Config,
    /// No machine takes it.
    Unschedulable,
    /// Nothing ever happens to it.
    Pending,
    /// Runs until it is stopped.
    Run,
    /// Runs for `seconds`, whoever tells it to stop.
    Stubborn,
    /// Runs for `seconds`, then is gone without a word, as when its machine dies before the executor has reported anything.
    Vanish,
    /// The same, but the executor had begun its report: Argo 3.7 then makes the pod again, and again.
    VanishReported,
    /// Succeeds, but its task result is never completed.
    Lost,
}

/// The annotations of one pod, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub act: Act,
    pub lasts: Duration,
    /// What keeps the pod from starting (`pull`, `config`, `unschedulable`, `pending`) is over after this long; then it runs
    /// like `ok`. `None`: it never is.
    pub over: Option<Duration>,
    /// Output parameters the executor would report.
    pub outputs: BTreeMap<String, String>,
}

/// `ok`, `fail:CODE`, `pull`, `config`, `unschedulable`, `pending`, `run`, `stubborn`, `vanish`, `vanish-reported` or `lost`.
pub const DO: &str = "bed.unstick.dev/do";
/// How long `main` runs, in seconds, default 1; a fraction is fine.
pub const SECONDS: &str = "bed.unstick.dev/seconds";
/// After how many seconds the trouble of a pod that can't start is over; absent: never.
pub const OVER: &str = "bed.unstick.dev/over";
/// Output parameters as a JSON object of strings.
pub const OUTPUTS: &str = "bed.unstick.dev/outputs";

impl Script {
    /// Reads the annotations; the error is a sentence for whoever wrote them.
    pub fn read(annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        let word = annotations.get(DO).map_or("ok", |v| v.trim());
        let act = match word {
            "ok" => Act::Ok,
            "pull" => Act::Pull,
            "config" => Act::Config,
            "unschedulable" => Act::Unschedulable,
            "pending" => Act::Pending,
            "run" => Act::Run,
            "stubborn" => Act::Stubborn,
            "vanish" => Act::Vanish,
            "vanish-reported" => Act::VanishReported,
            "lost" => Act::Lost,
            _ => match word.strip_prefix("fail:").map(str::parse) {
                Some(Ok(code)) if (1..=255).contains(&code) => Act::Fail(code),
                Some(_) => return Err(format!("{DO}: {word:?} needs an exit code of 1 to 255")),
                None => {
                    return Err(format!(
                        "{DO}: {word:?} is not one of ok, fail:CODE, pull, config, unschedulable, pending, run, stubborn, \
                         vanish, vanish-reported, lost"
                    ));
                }
            },
        };
        let seconds = |key: &str, text: &str| {
            let read = text.trim().parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
            read.ok_or_else(|| format!("{key}: {text:?} is not a number of seconds"))
        };
        let lasts = seconds(SECONDS, annotations.get(SECONDS).map_or("1", String::as_str))?;
        let over = annotations.get(OVER).map(|text| seconds(OVER, text)).transpose()?;
        let outputs = match annotations.get(OUTPUTS) {
            None => BTreeMap::new(),
            Some(text) => {
                serde_json::from_str(text).map_err(|e| format!("{OUTPUTS} is not a JSON object of strings: {e}"))?
            }
        };
        Ok(Self { act, lasts, over, outputs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Script, String> {
        Script::read(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn no_annotation_means_one_second_and_success() {
        let script = read(&[]).unwrap();
        assert_eq!((script.act, script.lasts), (Act::Ok, Duration::from_secs(1)));
        assert_eq!(script.over, None);
    }

    #[test]
    fn every_word_is_read_and_a_wrong_one_is_named() {
        for word in [
            "ok",
            "fail:3",
            "pull",
            "config",
            "unschedulable",
            "pending",
            "run",
            "stubborn",
            "vanish",
            "vanish-reported",
            "lost",
        ] {
            assert!(read(&[(DO, word)]).is_ok(), "{word}");
        }
        assert_eq!(read(&[(DO, "fail:3")]).unwrap().act, Act::Fail(3));
        for wrong in ["fail:0", "fail:x", "explode"] {
            assert!(read(&[(DO, wrong)]).unwrap_err().contains(wrong));
        }
        assert!(read(&[(SECONDS, "-1")]).unwrap_err().contains("-1"));
        assert!(read(&[(OVER, "soon")]).unwrap_err().contains("over"));
        assert_eq!(read(&[(DO, "pull"), (OVER, "2.5")]).unwrap().over, Some(Duration::from_millis(2500)));
        assert!(read(&[(OUTPUTS, "[]")]).unwrap_err().contains("JSON object"));
        assert_eq!(read(&[(OUTPUTS, r#"{"k":"v"}"#)]).unwrap().outputs["k"], "v");
    }
}
