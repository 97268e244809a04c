//! Whether an agent has shown the certificate that it must.

use actix_web::http::StatusCode;

use super::AgentApi;
use super::answer::Refusal;
use super::request::AgentRequest;
use crate::tls::ShownCertificate;

/// The refusal of an agent without a good certificate. It keeps its node key and all data, and tries again.
pub(super) fn refusal(api: &AgentApi, request: &AgentRequest) -> Option<Refusal> {
    if !api.needs_certificate {
        return None;
    }
    let reason = match request.conn_data::<ShownCertificate>() {
        Some(ShownCertificate::Good) => return None,
        Some(ShownCertificate::Bad(reason)) => {
            format!("the client certificate is none of a CA in server.agent_ca, or not good any more: {reason}")
        }
        Some(ShownCertificate::None) | None => {
            "agents need a client certificate here; start the agent with --tls_client_cert and --tls_client_key"
                .to_owned()
        }
    };
    Some(Refusal::Error(StatusCode::FORBIDDEN, reason))
}
