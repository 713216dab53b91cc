//! What the answer about a job says of the job itself: its name, and whether it is over. What it
//! used is read as of any answer.

use serde::Deserialize;

/// What an answer says of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// The name to ask for it by.
    pub id: String,
    #[serde(default)]
    status: Option<String>,
}

/// Words for a job that has come to its end, well or not.
const OVER: [&str; 11] = [
    "succeeded",
    "completed",
    "incomplete",
    "failed",
    "error",
    "canceled",
    "cancelled",
    "aborted",
    "expired",
    "done",
    "finished",
];

impl Job {
    /// Reads a body; absent where it is not about a job.
    ///
    /// ```
    /// use farebox::wire::job::Job;
    /// let job = Job::read(br#"{"id":"p1","status":"processing","output":null}"#).unwrap();
    /// assert_eq!((job.id.as_str(), job.is_over()), ("p1", false));
    /// assert!(Job::read(br#"{"id":"p1","status":"canceled"}"#).unwrap().is_over());
    /// assert_eq!(Job::read(br#"{"detail":"not found"}"#), None);
    /// ```
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whether it has come to its end. A word that is not known says that it has not: the hold then
    /// stands until its life is over, and nothing is settled too early.
    pub fn is_over(&self) -> bool {
        let status = self.status.as_deref().unwrap_or_default();
        OVER.iter().any(|word| status.eq_ignore_ascii_case(word))
    }
}
