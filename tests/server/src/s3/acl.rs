//! GetObjectAcl.

use s3s::dto::*;

use super::{Answer, Call, Calls, answer, read};
use crate::object;

const ALL_USERS: &str = "uri=http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "uri=http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

pub(super) async fn get(calls: &Calls, req: Call<GetObjectAclInput>) -> Answer<GetObjectAclOutput> {
    let input = req.input;
    let object = read::find(calls, &input.bucket, &input.key, input.version_id.as_deref())?;
    let owner = Owner { display_name: Some("owner".to_owned()), id: Some("owner".to_owned()) };
    let grants = grants(&object).into_iter().map(|(permission, grantee)| Grant {
        grantee: Some(described(&grantee)),
        permission: Some(Permission::from(permission)),
    });
    answer(GetObjectAclOutput { grants: Some(grants.collect()), owner: Some(owner), ..Default::default() })
}

/// Each permission with its grantee. Grants that were listed stand alone; otherwise the owner has
/// all of them, and others what the canned list says.
fn grants(object: &object::Object) -> Vec<(String, String)> {
    if !object.acl.is_empty() {
        return object.acl.clone();
    }
    let grant = |permission: &str, grantee: &str| (permission.to_owned(), grantee.to_owned());
    let mut grants = vec![grant("FULL_CONTROL", "id=owner")];
    match object.canned_acl.as_deref() {
        Some("public-read") => grants.push(grant("READ", ALL_USERS)),
        Some("public-read-write") => grants.extend([grant("READ", ALL_USERS), grant("WRITE", ALL_USERS)]),
        Some("authenticated-read") => grants.push(grant("READ", AUTHENTICATED_USERS)),
        _ => {}
    }
    grants
}

fn described(grantee: &str) -> Grantee {
    let named = |type_| Grantee {
        display_name: None,
        email_address: None,
        id: None,
        type_: Type::from_static(type_),
        uri: None,
    };
    match grantee.split_once('=') {
        Some(("uri", uri)) => Grantee { uri: Some(uri.to_owned()), ..named(Type::GROUP) },
        Some(("emailAddress", email)) => {
            Grantee { email_address: Some(email.to_owned()), ..named(Type::AMAZON_CUSTOMER_BY_EMAIL) }
        }
        Some(("id", id)) => Grantee { id: Some(id.to_owned()), ..named(Type::CANONICAL_USER) },
        _ => Grantee { id: Some(grantee.to_owned()), ..named(Type::CANONICAL_USER) },
    }
}
