//! Whose rights hold.
//!
//! logintel's own tables belong to the extension's owner; what reads or writes them runs as that role, with a
//! locked `search_path`, after the caller's right was checked. What touches a user's relation runs as the
//! detector's owner, or for a superuser's detector as the relation's, as a security-restricted operation: a function
//! in a view's definition then has no more rights than that owner, and cannot change the session.
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::error::fail;

/// Runs as another role until dropped. After an error the abort of the (sub)transaction restores what was.
#[derive(Debug)]
pub struct RunAs {
    user: pg_sys::Oid,
    context: i32,
    settings: i32,
}

impl RunAs {
    /// The extension's owner.
    pub fn extension_owner() -> Self {
        Self::role(extension_owner(), pg_sys::SECURITY_RESTRICTED_OPERATION)
    }

    /// The caller, in whose schemas nothing is looked for: for views of ours that show each role what it may read.
    pub fn caller() -> Self {
        Self::role(current_user(), pg_sys::SECURITY_RESTRICTED_OPERATION)
    }

    /// The extension's owner, for REFRESH CONCURRENTLY: it makes a temporary table, which a restricted operation may
    /// not, and restricts the query itself.
    pub fn extension_owner_unrestricted() -> Self {
        Self::role(extension_owner(), 0)
    }

    /// Who reads a detector's relation: the detector's owner, in whose schemas nothing is looked for. Times without zone
    /// are read in `timezone`.
    ///
    /// In a superuser's place it is the relation's owner. A SELECT runs what that one has put behind it, such as the
    /// function of a view or of a cast, and nobody looks at it each time before the worker reads.
    pub fn reader(owner: pg_sys::Oid, relation: pg_sys::Oid, timezone: &str) -> Self {
        require_role(owner);
        // SAFETY: catalog look-up.
        let is_superuser = unsafe { pg_sys::superuser_arg(owner) };
        let reader = if is_superuser { relation_owner(relation).unwrap_or(owner) } else { owner };
        let guard = Self::role(reader, pg_sys::SECURITY_RESTRICTED_OPERATION);
        set_local(c"TimeZone", &std::ffi::CString::new(timezone).unwrap_or_default());
        guard
    }

    /// The owner of a table, for what a detector's owner may do to it in the owner's place.
    pub fn table_owner(owner: pg_sys::Oid) -> Self {
        Self::role(owner, pg_sys::SECURITY_RESTRICTED_OPERATION)
    }

    /// Sets a setting until dropped.
    #[expect(clippy::unused_self, reason = "what was is restored with the guard's own settings")]
    pub fn set(&self, name: &std::ffi::CStr, value: &std::ffi::CStr) {
        set_local(name, value);
    }

    fn role(role: pg_sys::Oid, restriction: u32) -> Self {
        let (mut user, mut context) = (pg_sys::Oid::INVALID, 0);
        // SAFETY: restored in drop, or by the abort.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            let change = (pg_sys::SECURITY_LOCAL_USERID_CHANGE | restriction) as i32;
            pg_sys::SetUserIdAndSecContext(role, context | change);
            let settings = pg_sys::NewGUCNestLevel();
            set_local(c"search_path", c"pg_catalog, pg_temp");
            RunAs { user, context, settings }
        }
    }
}

/// Settings that hold until they are dropped.
#[derive(Debug)]
struct LocalSettings(i32);

impl LocalSettings {
    fn set(settings: &[(&std::ffi::CStr, &std::ffi::CStr)]) -> Self {
        // SAFETY: ended in drop, or by the abort.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        for (name, value) in settings {
            set_local(name, value);
        }
        LocalSettings(level)
    }
}

impl Drop for LocalSettings {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: opened in `set`.
            unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
        }
    }
}

/// Reads times without zone in a zone of its own until dropped.
#[derive(Debug)]
pub struct LocalTimezone {
    _settings: LocalSettings,
}

impl LocalTimezone {
    /// Sets it.
    pub fn set(timezone: &str) -> Self {
        let timezone = std::ffi::CString::new(timezone).unwrap_or_default();
        LocalTimezone { _settings: LocalSettings::set(&[(c"TimeZone", &timezone)]) }
    }
}

/// Plans what touches little of a large table by its indexes until dropped, row by row and in their order: where the table has
/// never been analysed, the planner takes what is rare for half of it, and would read it whole, and what is much for little, and
/// would sort it. Without compiling: where there is no index the plan seems to cost so much that it would.
#[derive(Debug)]
pub struct ByIndex {
    _settings: LocalSettings,
}

impl ByIndex {
    /// Sets it.
    pub fn set() -> Self {
        let off = [
            c"jit",
            c"enable_seqscan",
            c"enable_bitmapscan",
            c"enable_hashjoin",
            c"enable_mergejoin",
            c"enable_sort",
        ];
        ByIndex { _settings: LocalSettings::set(&off.map(|name| (name, c"off"))) }
    }
}

/// Sets a setting until the nest level at hand ends.
fn set_local(name: &std::ffi::CStr, value: &std::ffi::CStr) {
    // SAFETY: both are C strings; the action saves what was.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

impl Drop for RunAs {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: what `role` read and opened.
            unsafe {
                pg_sys::AtEOXact_GUC(false, self.settings);
                pg_sys::SetUserIdAndSecContext(self.user, self.context);
            }
        }
    }
}

/// Refuses a role that was dropped: what is granted to PUBLIC would still be granted to its number.
pub fn require_role(role: pg_sys::Oid) {
    if !role_exists(role) {
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("the detector's owner, role {}, does not exist any more", role.to_u32()),
            "A member of logintel_admin may give the detector to another role: SELECT logintel.alter_detector(name, owner => 'role').",
        );
    }
}

fn role_exists(role: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-up.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::AUTHOID as i32, role.into());
        if !tuple.is_null() {
            pg_sys::ReleaseSysCache(tuple);
        }
        !tuple.is_null()
    }
}

/// The extension's schema.
pub fn schema() -> pg_sys::Oid {
    // SAFETY: catalog look-up.
    unsafe { pg_sys::get_namespace_oid(c"logintel".as_ptr(), false) }
}

/// A table of the extension's schema.
pub fn own_table(name: &str) -> pg_sys::Oid {
    let name = std::ffi::CString::new(name).unwrap_or_default();
    // SAFETY: catalog look-up.
    unsafe { pg_sys::get_relname_relid(name.as_ptr(), schema()) }
}

/// Whether a relation belongs to the extension.
pub fn is_ours(relation: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-ups.
    let extension_of =
        |relation| unsafe { pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, relation) };
    let extension = extension_of(relation);
    extension != pg_sys::Oid::INVALID && extension == extension_of(detectors_table())
}

/// The table `logintel.detectors`.
pub fn detectors_table() -> pg_sys::Oid {
    own_table("detectors")
}

/// The role that CREATE EXTENSION was run as.
fn extension_owner() -> pg_sys::Oid {
    relation_owner(detectors_table()).unwrap_or_else(|| {
        fail(
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            "the table logintel.detectors is missing",
            "Drop the extension and create it again.",
        )
    })
}

/// Who owns a relation; `None` if it is gone.
fn relation_owner(relation: pg_sys::Oid) -> Option<pg_sys::Oid> {
    // SAFETY: catalog look-up.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, relation.into());
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// The role at hand.
pub fn current_user() -> pg_sys::Oid {
    // SAFETY: reads a global.
    unsafe { pg_sys::GetUserId() }
}

/// The name of a role that exists.
pub fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: catalog look-up; the copy is freed with the statement's memory.
    unsafe { crate::text::from_c_string(pg_sys::GetUserNameFromId(role, false)) }
}

/// The same as SQL writes it.
fn quoted_role(role: pg_sys::Oid) -> String {
    // SAFETY: as above.
    unsafe { crate::text::from_c_string(pg_sys::quote_identifier(pg_sys::GetUserNameFromId(role, false))) }
}

/// Whether the role may do what `role` may.
fn has_role(user: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-ups.
    unsafe { pg_sys::has_privs_of_role(user, role) }
}

/// Whether the role may administer every detector.
pub fn is_admin(user: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-up.
    let admin = unsafe { pg_sys::get_role_oid(c"logintel_admin".as_ptr(), true) };
    admin != pg_sys::Oid::INVALID && has_role(user, admin) || unsafe { pg_sys::superuser_arg(user) }
}

/// Whether a role has the rights of a detector's owner, or of an administrator.
pub fn may_administer(user: pg_sys::Oid, owner: pg_sys::Oid) -> bool {
    has_role(user, owner) || is_admin(user)
}

/// Refuses who neither owns a detector nor administers all of them.
pub fn require_owner(detector: &str, owner: pg_sys::Oid) {
    let user = current_user();
    if !may_administer(user, owner) {
        let user = quoted_role(user);
        // SAFETY: catalog look-up. Nobody is to be made a superuser for this.
        let is_grantable = role_exists(owner) && !unsafe { pg_sys::superuser_arg(owner) };
        let hint = if is_grantable {
            let owner = quoted_role(owner);
            format!(
                "Members of {owner} and of logintel_admin may: ask one, or be made one: GRANT {owner} TO {user}."
            )
        } else {
            format!("Members of logintel_admin may: ask one, or be made one: GRANT logintel_admin TO {user}.")
        };
        fail(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be owner of detector \"{detector}\""),
            &hint,
        );
    }
}

/// Whether a role may see what a detector of `owner` says about a relation: as its owner or administrator, or where it could read
/// the same rows itself. As `logintel.readable_detectors`, which does so in SQL.
pub fn may_read(user: pg_sys::Oid, owner: pg_sys::Oid, relation: pg_sys::Oid) -> bool {
    may_administer(user, owner)
        || shows_everybody_the_same(relation)
            && may_use_schema_of(user, relation)
            && may_select(user, relation)
}

/// Whether a role has SELECT on a relation.
fn may_select(user: pg_sys::Oid, relation: pg_sys::Oid) -> bool {
    let mut is_missing = false;
    // SAFETY: catalog look-up, which says when the relation is gone.
    let granted = unsafe {
        pg_sys::pg_class_aclcheck_ext(relation, user, u64::from(pg_sys::ACL_SELECT) as _, &raw mut is_missing)
    };
    !is_missing && granted == pg_sys::AclResult::ACLCHECK_OK
}

fn may_use_schema_of(user: pg_sys::Oid, relation: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up, and a call of SQL's has_schema_privilege(oid, oid, text), which is NULL where the schema is gone.
    unsafe {
        let schema = pg_sys::get_rel_namespace(relation);
        pgrx::direct_function_call::<bool>(
            pg_sys::has_schema_privilege_id_id,
            &[user.into_datum(), schema.into_datum(), "USAGE".into_datum()],
        )
        .unwrap_or(false)
    }
}

/// Tables and materialized views without row-level security. What a view shows may depend on who asks (its conditions, its functions,
/// the policies of tables below it), and what a foreign table shows on who is known elsewhere.
fn shows_everybody_the_same(relation: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-up.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, relation.into());
        if tuple.is_null() {
            return false;
        }
        let class = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        let (secured, kind) = (class.relrowsecurity, class.relkind as u8);
        pg_sys::ReleaseSysCache(tuple);
        !secured && matches!(kind, b'r' | b'p' | b'm')
    }
}

/// Refuses who could not act as a detector's owner, as ALTER … OWNER TO does.
pub fn require_membership(owner: pg_sys::Oid) {
    require_role(owner);
    if !has_role(current_user(), owner) {
        fail(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("must be a member of role \"{}\", the detector's owner", role_name(owner)),
            "A superuser may name any owner, others themselves and roles that they are members of: owner => 'role'.",
        );
    }
}

/// Refuses a role that may not read a relation. Of one that is gone whoever opens it says so.
pub fn require_select(role: pg_sys::Oid, relation: pg_sys::Oid) {
    if may_select(role, relation) {
        return;
    }
    // SAFETY: catalog look-up; the copy is freed with the statement's memory.
    let name = unsafe { pg_sys::get_rel_name(relation) };
    if !name.is_null() {
        // SAFETY: a C string.
        let name = unsafe { crate::text::from_c_string(name) };
        fail(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied for relation {name}"),
            &format!(
                "A detector reads its relation with its owner's rights: GRANT SELECT on it to role \"{}\" first.",
                role_name(role)
            ),
        );
    }
}
