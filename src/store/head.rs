//! HeadBucket and HeadObject.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::{HeadBucketError, HeadBucketOutput};
use aws_smithy_runtime_api::http::Response;

use super::error::{malformed, translate};
use super::{Bucket, PageRequest};
use crate::model::{Object, Operation, RequestError};
use crate::pace::RetryPolicy;

/// The header in which S3 tells a bucket's region, on errors too.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// An endpoint that does not answer is told within seconds.
const FIRST_QUESTIONS: RetryPolicy = RetryPolicy { attempts: 3 };

/// Where a bucket is.
pub(super) enum BucketAnswer {
    /// Where we asked.
    Here,
    /// In this other region.
    In(String),
}

impl Bucket {
    /// Asks whether the bucket exists and where. An answer that forbids asking counts as existing.
    ///
    /// # Errors
    /// `NoSuchBucket`, or that no answer came.
    pub(super) async fn ask(&self) -> Result<BucketAnswer, RequestError> {
        let answer = self
            .pacer
            .call_with(&FIRST_QUESTIONS, Operation::HeadBucket, Duration::ZERO, || async {
                let sent = self.client.head_bucket().bucket(&self.name);
                let answer = sent.set_expected_bucket_owner(self.expected_owner.clone()).send().await;
                if answer.is_ok() {
                    self.works.store(true, Relaxed);
                }
                match region_of(&answer) {
                    Some(region) => Ok(region),
                    None => match answer {
                        Ok(_) => Ok(self.region.clone()),
                        Err(error) => Err(translate(Operation::HeadBucket, error)),
                    },
                }
            })
            .await;
        match answer {
            Ok(region) if region == self.region => Ok(BucketAnswer::Here),
            Ok(region) => Ok(BucketAnswer::In(region)),
            Err(mut error) if error.status == Some(404) => {
                "NoSuchBucket".clone_into(&mut error.code);
                Err(error)
            }
            // No answer at all, or credentials that cannot be had.
            Err(error) if error.status.is_none() => Err(error),
            // The server is there; whether it lets us work is for the first real request to say.
            Err(error) => {
                tracing::debug!(bucket = self.name, %error, "HeadBucket was not answered, going on");
                Ok(BucketAnswer::Here)
            }
        }
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// [`Class::Missing`](crate::model::Class::Missing) where there is none.
    pub async fn head(&self, key: &str) -> Result<Object, RequestError> {
        self.call(Operation::HeadObject, Duration::ZERO, || async {
            let request = self.client.head_object().bucket(&self.name).key(key);
            let answer = request
                .set_request_payer(self.payer())
                .set_expected_bucket_owner(self.expected_owner.clone())
                .send()
                .await
                .map_err(|error| translate(Operation::HeadObject, error))?;
            let size = answer.content_length().and_then(|length| u64::try_from(length).ok());
            let size = size.ok_or_else(|| malformed(Operation::HeadObject, "Content-Length"))?;
            Ok(Object { key: key.to_owned(), size })
        })
        .await
    }

    /// Whether the object is gone: asked of the listing, since a server that bends keys on their
    /// way answers a HEAD of a key that it has with 404.
    ///
    /// # Errors
    /// Those of ListObjectsV2.
    pub async fn is_gone(&self, key: &str) -> Result<bool, RequestError> {
        let page = self.list(&PageRequest { prefix: key, max_keys: Some(1), ..Default::default() }).await?;
        // The key would be the first of all that begin with it.
        Ok(match page.objects.first() {
            Some(object) => object.key != key,
            None => !page.truncated,
        })
    }
}

fn region_of(answer: &Result<HeadBucketOutput, SdkError<HeadBucketError, Response>>) -> Option<String> {
    let region = match answer {
        Ok(output) => output.bucket_region(),
        // A bucket that does not exist has no region: some servers send their own all the same.
        Err(error) => error
            .raw_response()
            .filter(|response| matches!(response.status().as_u16(), 301 | 307 | 400 | 403))
            .and_then(|response| response.headers().get(REGION_HEADER)),
    };
    region.filter(|region| !region.is_empty()).map(str::to_owned)
}
