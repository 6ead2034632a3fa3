//! Uploads that somebody began and nobody completed, aborted.

use tokio::task::JoinSet;

use crate::model::{Class, RequestError};
use crate::store::{Bucket, OpenUpload};

/// Which uploads.
#[derive(Clone, Debug, Default)]
pub struct AbortUploads {
    /// To keys that begin with this.
    pub prefix: String,
    /// To exactly this key, in place of the prefix.
    pub key: Option<String>,
    /// Begun before this time: seconds since 1970.
    pub before: Option<i64>,
    /// They are only shown.
    pub dry_run: bool,
    /// How many at once.
    pub concurrency: usize,
}

impl AbortUploads {
    fn is_meant(&self, upload: &OpenUpload) -> bool {
        // Some servers do not know of prefixes, or do not say when an upload was begun.
        self.key.as_ref().is_none_or(|key| *key == upload.key)
            && upload.key.starts_with(&self.prefix)
            && self.before.is_none_or(|before| upload.initiated.is_some_and(|begun| begun < before))
    }

    /// Works through the uploads of `bucket`, telling `each` what became of it: `None` for one that
    /// is not meant.
    ///
    /// # Errors
    /// That the uploads cannot be listed, or that no other would fare better than the one that
    /// failed. Those that were begun to be aborted are.
    pub async fn run(
        &self,
        bucket: &Bucket,
        mut each: impl FnMut(&OpenUpload, Option<Result<(), RequestError>>),
    ) -> Result<(), RequestError> {
        let prefix = self.key.as_deref().unwrap_or(&self.prefix);
        let (mut marker, mut open) = (None, JoinSet::new());
        let mut ended = Ok(());
        loop {
            let page = bucket.list_uploads(prefix, marker.as_ref(), false).await;
            let (uploads, next) = match page {
                Ok(page) => page,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            };
            for upload in uploads {
                if !self.is_meant(&upload) {
                    each(&upload, None);
                } else if self.dry_run {
                    each(&upload, Some(Ok(())));
                } else {
                    let bucket = bucket.clone();
                    open.spawn(async move {
                        let aborted = bucket.abort_upload(&upload.key, &upload.id, false).await;
                        (upload, aborted)
                    });
                }
                while open.len() >= self.concurrency {
                    take(open.join_next().await, &mut each, &mut ended);
                }
            }
            marker = next;
            if marker.is_none() || ended.is_err() {
                break;
            }
        }
        while !open.is_empty() {
            take(open.join_next().await, &mut each, &mut ended);
        }
        ended
    }
}

type Aborted = Option<Result<(OpenUpload, Result<(), RequestError>), tokio::task::JoinError>>;

fn take(
    aborted: Aborted,
    each: &mut impl FnMut(&OpenUpload, Option<Result<(), RequestError>>),
    ended: &mut Result<(), RequestError>,
) {
    // A task that ended badly leaves its upload as it is.
    let Some(Ok((upload, aborted))) = aborted else { return };
    if let Err(error) = &aborted
        && matches!(error.class, Class::Interrupted | Class::Fatal)
    {
        *ended = Err(error.clone());
    }
    each(&upload, Some(aborted));
}
