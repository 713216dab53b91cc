//! Request bodies: each read whole within a bound, and all of them together within another.

use js_sys::ArrayBuffer;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::http::Incoming;
use super::js;
use crate::api::{Code, Problem};
use crate::ids::Name;

/// Longest request body. An isolate has 128 MB and holds a body twice while it is read; the APIs
/// themselves stop at 10 to 32 MB.
pub const REQUEST_MAX: u32 = 16 * 1024 * 1024;

/// Longest time a body may take: others wait for its room. The longest one needs 5 Mbit/s.
const READ_MS: f64 = 30_000.0;

/// A request's body, and its room in the isolate, which is given back when this is dropped.
pub struct Body {
    pub bytes: ArrayBuffer,
    /// Kept for its end.
    pub room: Room,
}

/// Bytes taken of the isolate's room for bodies.
pub struct Room {
    bytes: u32,
    whose: Name,
}

impl Room {
    /// Takes room for `bytes` of a customer's, waiting in line for it.
    pub async fn take(bytes: u32, whose: &Name) -> Result<Self, Problem> {
        let taken = js::take_room(f64::from(bytes), whose.as_str());
        if JsFuture::from(taken).await.is_ok_and(|taken| taken.is_truthy()) {
            return Ok(Self { bytes, whose: whose.clone() });
        }
        let message = "The gateway is reading as many large requests as it has room for. Retry \
                       shortly.";
        Err(Problem::new(Code::Overloaded, message))
    }

    /// Gives back what was taken above `bytes`.
    fn shrink(&mut self, bytes: u32) {
        let rest = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(rest);
        js::give_room(f64::from(rest), self.whose.as_str());
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        js::give_room(f64::from(self.bytes), self.whose.as_str());
    }
}

/// Reads the body of `incoming`, in the room of who sends it.
pub async fn read(incoming: &Incoming, whose: &Name) -> Result<Body, Problem> {
    let encoding = incoming.header("content-encoding");
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let message = "Compressed request bodies are not read. Send the body without \
                       Content-Encoding.";
        return Err(Problem::new(Code::UnsupportedEncoding, message));
    }
    let stated = incoming.header("content-length");
    let length = stated.map_or(u64::from(REQUEST_MAX), |length| length.parse().unwrap_or(u64::MAX));
    let Ok(length @ ..=REQUEST_MAX) = u32::try_from(length) else {
        discard(incoming).await;
        return Err(too_large());
    };
    let mut room = match Room::take(length, whose).await {
        Ok(room) => room,
        Err(problem) => {
            discard(incoming).await;
            return Err(problem);
        }
    };
    let reading = js::read_body(&incoming.request, f64::from(REQUEST_MAX));
    let body = JsFuture::from(js::within(&reading, READ_MS)).await;
    let body = body.map_err(|_| {
        Problem::new(Code::InvalidRequest, "The request body could not be read to its end.")
    })?;
    if body.is_undefined() {
        let message = "The request body did not arrive in time. Send it faster, or a shorter one.";
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    let bytes: ArrayBuffer = body.dyn_into().map_err(|_: JsValue| too_large())?;
    room.shrink(bytes.byte_length());
    Ok(Body { bytes, room })
}

/// Takes what the client is still sending, so that it reads the answer.
async fn discard(incoming: &Incoming) {
    let _ = JsFuture::from(js::read_body(&incoming.request, 0.0)).await;
}

fn too_large() -> Problem {
    let message = format!("The request body is longer than {REQUEST_MAX} bytes.");
    Problem::new(Code::RequestTooLarge, message)
}
