//! Attempts that go on behind their answer: the hold is kept under the job's name.

use super::Op;
use crate::ledger::JOB_ID_MAX;
use crate::ledger::command::{Park, Reply, Row, Unresolved};

impl Op<'_> {
    /// Keeps a hold for longer, and writes down whose job it is, in the same transaction. Which
    /// attempt a name belongs to never changes: a job is charged once, to who started it.
    pub(super) fn park(&mut self, park: &Park) -> Reply {
        let Park { job_id, job, life, unresolved } = park;
        if job_id.is_empty() || job_id.len() > JOB_ID_MAX {
            return Reply::Invalid("a job needs a name of reasonable length".into());
        }
        if self.context.prior.job.as_ref().is_some_and(|known| known != job) {
            return Reply::Invalid("the job belongs to another attempt".into());
        }
        let attempt_id = job.attempt_id;
        let Some(hold) = self.ledger.holds.get_mut(&attempt_id) else { return Reply::Expired };
        if hold.expires_at <= self.now {
            return Reply::Expired;
        }
        if *unresolved == Unresolved::Hold {
            hold.floor = hold.amount();
        }
        self.ledger.expiry.remove(&(hold.expires_at, attempt_id));
        hold.expires_at = hold.expires_at.max(self.now.plus(*life));
        self.ledger.expiry.insert((hold.expires_at, attempt_id));
        let expires_at = hold.expires_at;
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.rows.push(Row::PutJob(job_id.clone(), job.clone()));
        Reply::Held { expires_at, remaining: None, standings: Vec::new() }
    }
}
