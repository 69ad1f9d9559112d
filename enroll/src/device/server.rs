//! The server's half: what a request says, and how a refusal is answered.

use super::wire::{JSON, Operation, Place, Report};
use crate::est::server::{Answer, refuse};
use crate::est::wire::is_media;
use identity::{Defect, RealmName, Refusal, RuleId};

/// What the host has to do.
#[derive(Debug)]
pub enum Action {
    /// Note what the device says of itself, and send [`done`].
    Note(RealmName, Box<Report>),
    /// Let the device go, and send [`done`].
    LetGo(RealmName),
    /// Send this.
    Answer(Answer),
}

/// Hears a request.
#[must_use]
pub fn hear(method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Action {
    let Some(Place { realm, operation }) = Place::parse(path) else {
        return malformed("path", "nothing is here: devices have `report` and `leave`".to_owned());
    };
    if method != operation.method() {
        let allowed = operation.method();
        let sentence = format!("`{}` is for {allowed} only", operation.as_str());
        let mut answer = refuse(&Refusal::Malformed(Defect::new("method", sentence)));
        answer.headers.push(("Allow", allowed.to_owned()));
        return Action::Answer(answer);
    }
    match operation {
        Operation::Leave => Action::LetGo(realm),
        Operation::Report if !content_type.is_some_and(|said| is_media(said, JSON)) => {
            malformed("content-type", format!("the Content-Type of a report is `{JSON}`: say so"))
        }
        Operation::Report => match Report::read(body) {
            Ok(report) => Action::Note(realm, Box::new(report)),
            Err(defect) => Action::Answer(refuse(&Refusal::Malformed(defect))),
        },
    }
}

fn malformed(name: &'static str, sentence: String) -> Action {
    Action::Answer(refuse(&Refusal::Malformed(Defect::new(name, sentence))))
}

/// It was done.
#[must_use]
pub fn done() -> Answer {
    Answer { status: 204, headers: Vec::new(), body: Vec::new(), close: false, refusal: None }
}

/// The answer that turns a device away. A contradiction is no judgement of who it is, but of what
/// it says: 409, and the connection stays.
#[must_use]
pub fn turn_away(refusal: &Refusal) -> Answer {
    let answer = refuse(refusal);
    match refusal {
        Refusal::Denied(rule) if *rule == RuleId::CONTRADICTION => {
            Answer { status: 409, close: false, ..answer }
        }
        _ => answer,
    }
}
