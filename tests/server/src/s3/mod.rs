//! The S3 calls on the store, a file for each family; this one wires them to the protocol.

mod acl;
mod buckets;
mod conditions;
mod copy;
mod digest;
mod list;
mod multipart;
mod parts;
mod read;
mod receive;
mod restore;
mod write;

use ::http::{HeaderMap, HeaderValue};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::config::{Account, Config};
use crate::object::{CustomerKey, Object};
use crate::store::{Bucket, State, Store};

pub(crate) use list::Listing;

/// The S3 calls, as the protocol layer sees them.
pub(crate) struct Calls {
    store: Store,
    config: Config,
}

impl Calls {
    pub(crate) fn new(store: Store, config: &Config) -> Calls {
        Calls { store, config: config.clone() }
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
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = buckets::versioning;
    head_object(HeadObjectInput) -> HeadObjectOutput = read::head;
    get_object(GetObjectInput) -> GetObjectOutput = read::get;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = read::tagging;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = acl::get;
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

/// An answer with what all writes say about the object that they wrote.
fn written<O>(output: O, object: &Object) -> Answer<O> {
    let mut headers = HeaderMap::new();
    object.write_encryption(&mut headers);
    write_version(object, &mut headers);
    Ok(S3Response { headers, ..S3Response::new(output) })
}

fn write_version(object: &Object, headers: &mut HeaderMap) {
    let id = object.version_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok());
    if let Some(id) = id {
        headers.insert("x-amz-version-id", id);
    }
}

/// The MD5 of the key that a request brings, which has to be the one of the object.
fn check_customer_key(key: CustomerKey, headers: &HeaderMap, object: &Object) -> S3Result<()> {
    if customer_key(key, headers)? != object.customer_key_md5 {
        return Err(fail(
            S3ErrorCode::InvalidRequest,
            "the object was stored with another key of the customer, or none",
        ));
    }
    Ok(())
}

/// The MD5 of the key that a request brings, if it does.
fn customer_key(key: CustomerKey, headers: &HeaderMap) -> S3Result<Option<String>> {
    key.md5(headers).map_err(|()| fail(S3ErrorCode::InvalidArgument, "this is no key of a customer with its MD5"))
}

/// A size or count as the protocol has it.
fn int(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

fn no_such_bucket() -> S3Error {
    fail(S3ErrorCode::NoSuchBucket, "there is no such bucket")
}

impl State {
    fn bucket(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }

    /// The bucket, to be read.
    fn existing(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }
}
