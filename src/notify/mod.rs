//! How what is to be told reaches those who are to hear it: endpoints, signatures, retries, and the
//! words of a mail. Nothing is sent from here. See `docs/alerts.md`.

mod endpoint;
mod guard;
mod mail;
mod retry;
mod sign;

pub use endpoint::{
    ENDPOINTS_MAX, Endpoint, EndpointView, NewEndpoint, OLD_SECRET_LIFE, Secret, Target,
};
pub use guard::{Address, Unsafe, check};
pub use mail::{Mail, mail};
pub use retry::{Answer, DEAD_AFTER_MS, Delivery, Next, State, TRIES_MAX, next};
pub use sign::{is_secret, secret_of, sign};
