//! JSON over plain HTTP, as peers are set up by.

use crate::failure::{Failure, Outcome};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::Ipv4Addr;
use tokio::net::TcpStream;

/// A peer's interface.
pub(super) struct Api {
    pub(super) port: u16,
    /// What it wants to see with each request.
    pub(super) token: Option<String>,
}

impl Api {
    /// One request over a connection of its own; the status, and what came back.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Value), String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let tcp = tcp.await.map_err(|e| text(&e))?;
        let (mut sender, line) = http1::handshake(TokioIo::new(tcp)).await.map_err(|e| text(&e))?;
        tokio::spawn(line);
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(token) = &self.token {
            request = request.header("x-vault-token", token);
        }
        let octets = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = request.body(Full::new(Bytes::from(octets))).map_err(|e| text(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| text(&e))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|e| text(&e))?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// As [`Api::ask`], where nothing but success will do.
    pub(super) async fn done(&self, method: Method, path: &str, body: &Value) -> Outcome<Value> {
        match self.ask(method, path, body).await {
            Ok((200..=299, said)) => Ok(said),
            Ok((status, said)) => {
                let why = said.get("errors").unwrap_or(&said);
                Err(Failure::new(format!("the peer refused {path}: {status} {why}")))
            }
            Err(why) => Err(Failure::new(format!("the peer did not answer {path}: {why}"))),
        }
    }
}
