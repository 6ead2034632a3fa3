//! ListBuckets, CreateBucket, HeadBucket, GetBucketLocation, GetBucketVersioning.

use s3s::S3ErrorCode;
use s3s::dto::*;

use super::{Answer, Call, Calls, answer, fail};
use crate::config::Versioning;

pub(super) async fn list(calls: &Calls, req: Call<ListBucketsInput>) -> Answer<ListBucketsOutput> {
    let prefix = req.input.prefix.unwrap_or_default();
    let state = calls.store.lock();
    let named = state.buckets.iter().filter(|(name, _)| name.starts_with(&prefix));
    let buckets = named.map(|(name, bucket)| Bucket {
        bucket_region: Some(bucket.region.clone().unwrap_or_else(|| calls.config.region.clone())),
        creation_date: Some(bucket.created.into()),
        name: Some(name.clone()),
    });
    let owner = Owner { display_name: Some("owner".to_owned()), id: Some("owner".to_owned()) };
    answer(ListBucketsOutput { buckets: Some(buckets.collect()), owner: Some(owner), ..Default::default() })
}

pub(super) async fn create(calls: &Calls, req: Call<CreateBucketInput>) -> Answer<CreateBucketOutput> {
    let input = req.input;
    let region = input.create_bucket_configuration.and_then(|configuration| configuration.location_constraint);
    let region = region.map(|region| region.as_str().to_owned()).filter(|region| *region != calls.config.region);
    if !calls.store.lock().create_bucket(&input.bucket, region) {
        return Err(fail(S3ErrorCode::BucketAlreadyOwnedByYou, "the bucket is there already"));
    }
    answer(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
}

pub(super) async fn head(calls: &Calls, req: Call<HeadBucketInput>) -> Answer<HeadBucketOutput> {
    let region = region_of(calls, &req.input.bucket)?;
    answer(HeadBucketOutput { bucket_region: Some(region), ..Default::default() })
}

pub(super) async fn location(calls: &Calls, req: Call<GetBucketLocationInput>) -> Answer<GetBucketLocationOutput> {
    let region = region_of(calls, &req.input.bucket)?;
    // The oldest region has no name here.
    let constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
    answer(GetBucketLocationOutput { location_constraint: constraint })
}

pub(super) async fn versioning(
    calls: &Calls,
    req: Call<GetBucketVersioningInput>,
) -> Answer<GetBucketVersioningOutput> {
    let status = match calls.store.lock().bucket(&req.input.bucket)?.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(BucketVersioningStatus::from_static);
    answer(GetBucketVersioningOutput { status, ..Default::default() })
}

fn region_of(calls: &Calls, bucket: &str) -> s3s::S3Result<String> {
    let region = calls.store.lock().bucket(bucket)?.region.clone();
    Ok(region.unwrap_or_else(|| calls.config.region.clone()))
}
