//! What an operation tells the job while it works on one item: the upload that it began, and the
//! parts of it. A resume goes on from there.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::journal::Ticket;
use crate::model::{Item, Operation, RequestError, Upload, UploadedPart};

/// What is told.
#[derive(Debug)]
pub enum Step {
    /// An upload was begun. Answered when it is in the checkpoint.
    Begun {
        /// The upload.
        upload: Box<Upload>,
        /// Where the answer goes; dropped where the checkpoint cannot be written.
        recorded: oneshot::Sender<()>,
    },
    /// A part is uploaded.
    Uploaded {
        /// Its number.
        number: u16,
        /// What the destination has.
        part: UploadedPart,
        /// Its size, in bytes.
        bytes: u64,
    },
}

/// A step, with the item that it belongs to.
#[derive(Debug)]
pub struct Told {
    /// The item's place in the journal.
    pub ticket: Ticket,
    /// The item.
    pub item: Arc<Item>,
    /// The step.
    pub step: Step,
}

/// The way to tell, for one item.
#[derive(Clone, Debug)]
pub struct Steps {
    ticket: Ticket,
    item: Arc<Item>,
    to: mpsc::Sender<Told>,
    kept: bool,
}

impl Steps {
    /// For `item`, to the job behind `to`. `kept` says that there is a checkpoint.
    pub fn new(ticket: Ticket, item: Arc<Item>, to: mpsc::Sender<Told>, kept: bool) -> Self {
        Self { ticket, item, to, kept }
    }

    /// Whether the upload of an interrupted run will be found again.
    pub fn are_kept(&self) -> bool {
        self.kept
    }

    /// Records that `upload` was begun, and waits until a kill would not lose it.
    ///
    /// # Errors
    /// [`Class::Interrupted`](crate::model::Class::Interrupted) where it cannot be recorded: the
    /// run is ending.
    pub async fn begun(&self, upload: &Upload) -> Result<(), RequestError> {
        let (recorded, answer) = oneshot::channel();
        self.tell(Step::Begun { upload: Box::new(upload.clone()), recorded }).await;
        answer.await.map_err(|_| RequestError::interrupted(Operation::CreateMultipartUpload, 1))
    }

    /// Records a part of `bytes` bytes. One that is not recorded is found by ListParts.
    pub async fn uploaded(&self, number: u16, part: &UploadedPart, bytes: u64) {
        self.tell(Step::Uploaded { number, part: part.clone(), bytes }).await;
    }

    async fn tell(&self, step: Step) {
        // Closed only when the job is gone, and then nobody waits for an answer.
        let _ = self.to.send(Told { ticket: self.ticket, item: Arc::clone(&self.item), step }).await;
    }
}
