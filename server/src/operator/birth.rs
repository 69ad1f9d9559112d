//! Births: a station sends a batch, and each unit gets its answer.

use super::body::Json;
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::said::remark;
use super::who::Midwife;
use super::{Answer, State, view};
use crate::births::{Birth, NotBorn, Station, Unit};
use crate::house::RealmState;
use crate::record::rule_name;
use api::birth::BATCH_MAX;
use api::{BirthBatch, BirthOutcome, BirthRequest, BirthResult, BirthResults};
use identity::{Defect, Identifiers};
use registry::Role;

/// Issues birth certificates. Each unit is answered on its own; a unit that comes again with the
/// same key and identifiers, or with fewer of them, gets the same certificate. Labels (`meta`) stay
/// as they were said first.
#[utoipa::path(post, path = api::path::BIRTHS, tag = "births", params(Idempotent),
    request_body = BirthBatch, responses((status = 200, body = BirthResults), Problems))]
pub(crate) async fn births(
    state: State,
    Midwife(who): Midwife,
    Json(batch): Json<BirthBatch>,
) -> Answer<BirthResults> {
    if !(1..=BATCH_MAX).contains(&batch.births.len()) {
        let sentence = format!("a batch has 1 to {BATCH_MAX} births");
        return Err(Refused::Malformed(sentence));
    }
    let units = batch.births.into_iter().map(unit).collect();
    let replaces_joined = who.role != Role::Station;
    let station = Station { name: &who.name, from: who.from, replaces_joined };
    let results = state.house.births(&who.realm, units, station).await;
    let results = (0..).zip(results).map(|(index, r)| told(index, r, &who.realm)).collect();
    Ok(axum::Json(BirthResults { results }))
}

/// A unit whose reason does not fit is refused by itself, and the others of its batch are born.
fn unit(request: BirthRequest) -> Result<Unit, Defect> {
    let replace = request.replace.map(|r| remark("replace", &r)).transpose();
    let replace = replace.map_err(|refused| Defect::new("replace", refused.detail()))?;
    let identifiers = Identifiers {
        maker: String::new(),
        model: request.model,
        serial: request.serial,
        macs: request.mac.into_iter().collect(),
        imei: request.imei,
        ek_digest: request.ek_digest,
        meta: request.meta,
    };
    Ok(Unit { csr: request.csr, identifiers, replace })
}

fn told(index: u32, result: Result<Birth, NotBorn>, realm: &RealmState) -> BirthResult {
    let blank = BirthResult {
        index,
        outcome: BirthOutcome::Refused,
        device: None,
        certificate: None,
        certificate_serial: None,
        rule: None,
        reason: None,
    };
    match result {
        Ok(birth) => BirthResult {
            outcome: if birth.again { BirthOutcome::Again } else { BirthOutcome::Issued },
            device: Some(birth.device.to_string()),
            certificate: Some(view::chain(&birth, realm)),
            certificate_serial: Some(birth.serial.to_string()),
            ..blank
        },
        Err(not) => BirthResult {
            rule: Some(rule_name(&not.refusal).to_owned()),
            reason: Some(not.to_string()),
            ..blank
        },
    }
}
