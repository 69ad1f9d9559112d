//! The interface as a document: OpenAPI 3.1, made from the types and handlers themselves.

use super::{
    authority, birth, certificate, change, device, door, erase, events, figures, ledger, moves,
    operators, profile, realm, receipt, sink, token, witness, workshop,
};
use api::Problem;
use std::collections::BTreeMap;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};

/// The document in JSON.
pub(crate) fn document() -> String {
    // The document is made of text and maps, which JSON always holds.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "The operators' interface. A credential belongs to one realm, and every \
            address means that realm. Errors are RFC 9457; lists have cursors; writes that carry \
            an `Idempotency-Key` happen once.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    paths(
        device::list, device::show, device::certificates, change::suspend, change::resume,
        change::quarantine, change::release, change::retire, change::unmark, change::group_add,
        change::group_remove,
        moves::moves, erase::erase, birth::births,
        certificate::list, certificate::show, certificate::revoke,
        certificate::release,
        authority::list, authority::show, authority::install, authority::change,
        authority::revoke, authority::root::roots, authority::root::succeed,
        workshop::requests, workshop::request, workshop::abandon, workshop::publish,
        token::list, token::show, token::make, token::revoke,
        door::list, door::show, door::set, door::open, door::close, door::remove,
        profile::list, profile::show, profile::set,
        realm::groups, realm::show, realm::settings, realm::set,
        operators::list, operators::add, operators::remove,
        ledger::entries, ledger::entry, ledger::rows, ledger::head,
        receipt::of_device, receipt::of_certificate, receipt::consistency,
        witness::list, witness::set, witness::remove,
        events::events,
        sink::list, sink::show, sink::set, sink::remove, sink::test, sink::dead, sink::give_up,
        sink::retry,
        figures::health, figures::ready, figures::metrics,
        served,
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    security(("bearer" = [])),
)]
struct Document;

/// Gives this document.
#[utoipa::path(get, path = api::path::OPENAPI, tag = "process", security(()),
    responses((status = 200, content_type = "application/json", body = serde_json::Value)))]
#[expect(dead_code, reason = "only its description is used; the router serves the text")]
fn served() {}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of an operator, `id.secret`"))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        }
    }
}

/// What every address may answer instead.
pub(crate) struct Problems;

const PROBLEMS: [(&str, &str); 11] = [
    ("400", "The request is malformed; the detail says where"),
    ("401", "No credential, or an unknown one"),
    ("403", "The role of the credential does not allow it"),
    ("404", "There is no such row"),
    ("409", "It does not fit what is there, or the name fits several devices"),
    ("412", "The row has changed since it was read"),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("422", "The idempotency key belongs to another request"),
    ("429", "Too many wrong credentials from this address, or too many idempotency keys"),
    ("503", "The server cannot do it now; try again unchanged"),
];

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |about: &str| {
            let content =
                ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let media = api::problem::MEDIA_TYPE;
            RefOr::T(ResponseBuilder::new().description(about).content(media, content).build())
        };
        PROBLEMS.iter().map(|(status, about)| ((*status).to_owned(), problem(about))).collect()
    }
}

fn header(name: &str, about: &str, pattern: Option<&str>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(pattern).build()))
        .build()
}

/// The header of a write that shall happen once.
pub(crate) struct Idempotent;

impl IntoParams for Idempotent {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "1 to 255 visible ASCII characters; within 24 hours the same key and request \
            get the first answer again";
        vec![header("Idempotency-Key", about, Some("^[!-~]{1,255}$"))]
    }
}

/// The header of a write that was decided on a version.
pub(crate) struct IfMatch;

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header("If-Match", "The ETag that the write was decided on, `\"7\"`", None)]
    }
}
