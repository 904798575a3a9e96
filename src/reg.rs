//! Arguments that name an object of the catalog: PostgreSQL reads the name and hands over the OID. Whether there is (still) such an
//! object is for us to look at, and so is the error where there is none.
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

macro_rules! reg_argument {
    ($(#[$doc:meta])* $name:ident, $sql:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name(pub pg_sys::Oid);

        // SAFETY: reads an argument of a reg type, which is an OID.
        unsafe impl<'fcx> ArgAbi<'fcx> for $name {
            unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
                // SAFETY: as above.
                $name(unsafe { pg_sys::Oid::unbox_arg_unchecked(arg) })
            }
        }

        // SAFETY: it is that SQL type.
        unsafe impl SqlTranslatable for $name {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($name);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
        }
    };
}

reg_argument!(
    /// A table or view.
    RegClass,
    "regclass"
);
reg_argument!(
    /// A role.
    RegRole,
    "regrole"
);
