//! The S3 calls on the store, a file for each family; this one wires them to the protocol.

mod buckets;
mod conditions;
mod copy;
mod list;
mod multipart;
mod parts;
mod read;
mod restore;
mod write;

use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::config::{Account, Config};
use crate::store::{Bucket, State, Store};

/// The S3 calls, as the protocol layer sees them.
pub(crate) struct Calls {
    store: Store,
    region: String,
    page_size: u16,
    claims_encoding: bool,
}

impl Calls {
    pub(crate) fn new(store: Store, config: &Config) -> Calls {
        let Config { page_size, claims_encoding, .. } = *config;
        Calls { store, region: config.region.clone(), page_size, claims_encoding }
    }
}

/// The accounts that are let in.
pub(crate) struct Accounts(Vec<Account>);

impl Accounts {
    pub(crate) fn new(accounts: &[Account]) -> Accounts {
        Accounts(accounts.to_vec())
    }
}

#[async_trait::async_trait]
impl S3Auth for Accounts {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let account = self.0.iter().find(|account| account.access_key == access_key);
        account
            .map(|account| SecretKey::from(account.secret_key.as_str()))
            .ok_or_else(|| fail(S3ErrorCode::InvalidAccessKeyId, "no account with this access key"))
    }
}

type Call<I> = S3Request<I>;
type Answer<O> = S3Result<S3Response<O>>;

macro_rules! calls {
    ($($name:ident ( $input:ty ) -> $output:ty = $call:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Calls {
            $(async fn $name(&self, req: Call<$input>) -> Answer<$output> {
                $call(self, req).await
            })*
        }
    };
}

calls! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput = buckets::list;
    create_bucket(CreateBucketInput) -> CreateBucketOutput = buckets::create;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = buckets::head;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = buckets::location;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list::objects;
    head_object(HeadObjectInput) -> HeadObjectOutput = read::head;
    get_object(GetObjectInput) -> GetObjectOutput = read::get;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = read::tagging;
    put_object(PutObjectInput) -> PutObjectOutput = write::put;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = write::tagging;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = write::delete;
    copy_object(CopyObjectInput) -> CopyObjectOutput = copy::object;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = multipart::create;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = multipart::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = multipart::abort;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = multipart::list;
    upload_part(UploadPartInput) -> UploadPartOutput = parts::upload;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = parts::copy;
    list_parts(ListPartsInput) -> ListPartsOutput = parts::list;
    restore_object(RestoreObjectInput) -> RestoreObjectOutput = restore::object;
}

fn fail(code: S3ErrorCode, message: &'static str) -> S3Error {
    S3Error::with_message(code, message)
}

/// An error with a code that the protocol layer has no status for.
fn fail_with(status: ::http::StatusCode, code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

fn answer<O>(output: O) -> Answer<O> {
    Ok(S3Response::new(output))
}

/// A size or count as the protocol has it.
fn int(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

impl State {
    fn bucket(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| fail(S3ErrorCode::NoSuchBucket, "there is no such bucket"))
    }
}
