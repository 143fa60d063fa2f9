//! A database that sqlx can connect to, and do nothing else with: all else is of a type that has no values.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use log::LevelFilter;
use sqlx_core::arguments::{Arguments, IntoArguments};
use sqlx_core::column::{Column, ColumnIndex};
use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::database::Database;
use sqlx_core::encode::Encode;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::row::Row;
use sqlx_core::sql_str::SqlStr;
use sqlx_core::statement::Statement;
use sqlx_core::transaction::{Transaction, TransactionManager};
use sqlx_core::type_info::TypeInfo;
use sqlx_core::types::Type;
use sqlx_core::value::{Value, ValueRef};
use sqlx_core::{Either, Url};

use crate::wire::{Factory, Wire};

/// Has no values.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Nothing {}

#[derive(Clone, Debug)]
pub(crate) struct Maker(pub(crate) Arc<Factory>);

impl FromStr for Maker {
    type Err = Error;

    fn from_str(_: &str) -> Result<Self, Error> {
        Ok(Self(Arc::default()))
    }
}

impl ConnectOptions for Maker {
    type Connection = Wire;

    fn from_url(_: &Url) -> Result<Self, Error> {
        Ok(Self(Arc::default()))
    }

    async fn connect(&self) -> Result<Wire, Error> {
        Ok(self.0.connect())
    }

    fn log_statements(self, _: LevelFilter) -> Self {
        self
    }

    fn log_slow_statements(self, _: LevelFilter, _: std::time::Duration) -> Self {
        self
    }
}

impl Connection for Wire {
    type Database = Nothing;
    type Options = Maker;

    async fn close(self) -> Result<(), Error> {
        Ok(())
    }

    async fn close_hard(self) -> Result<(), Error> {
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn begin(&mut self) -> Result<Transaction<'_, Nothing>, Error> {
        Err(Error::BeginFailed)
    }

    fn shrink_buffers(&mut self) {}

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn should_flush(&self) -> bool {
        false
    }
}

impl Database for Nothing {
    type Connection = Wire;
    type TransactionManager = Self;
    type Row = Self;
    type QueryResult = Done;
    type Column = Self;
    type TypeInfo = Self;
    type Value = Self;
    type ValueRef<'r> = Self;
    type Arguments = NoArguments;
    type ArgumentBuffer = ();
    type Statement = Self;
    const NAME: &'static str = "nothing";
    const URL_SCHEMES: &'static [&'static str] = &[];
}

impl TransactionManager for Nothing {
    type Database = Self;

    async fn begin(_: &mut Wire, _: Option<SqlStr>) -> Result<(), Error> {
        Err(Error::BeginFailed)
    }

    async fn commit(_: &mut Wire) -> Result<(), Error> {
        Ok(())
    }

    async fn rollback(_: &mut Wire) -> Result<(), Error> {
        Ok(())
    }

    fn start_rollback(_: &mut Wire) {}

    fn get_transaction_depth(_: &Wire) -> usize {
        0
    }
}

impl Row for Nothing {
    type Database = Self;

    fn columns(&self) -> &[Self] {
        match *self {}
    }

    fn try_get_raw<I: ColumnIndex<Self>>(&self, _: I) -> Result<Self, Error> {
        match *self {}
    }
}

impl Column for Nothing {
    type Database = Self;

    fn ordinal(&self) -> usize {
        match *self {}
    }

    fn name(&self) -> &str {
        match *self {}
    }

    fn type_info(&self) -> &Self {
        match *self {}
    }
}

impl TypeInfo for Nothing {
    fn is_null(&self) -> bool {
        match *self {}
    }

    fn name(&self) -> &str {
        match *self {}
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Value for Nothing {
    type Database = Self;

    fn as_ref(&self) -> Self {
        match *self {}
    }

    fn type_info(&self) -> Cow<'_, Self> {
        match *self {}
    }

    fn is_null(&self) -> bool {
        match *self {}
    }
}

impl ValueRef<'_> for Nothing {
    type Database = Self;

    fn to_owned(&self) -> Self {
        match *self {}
    }

    fn type_info(&self) -> Cow<'_, Self> {
        match *self {}
    }

    fn is_null(&self) -> bool {
        match *self {}
    }
}

impl Statement for Nothing {
    type Database = Self;

    fn into_sql(self) -> SqlStr {
        match self {}
    }

    fn sql(&self) -> &SqlStr {
        match *self {}
    }

    fn parameters(&self) -> Option<Either<&[Self], usize>> {
        match *self {}
    }

    fn columns(&self) -> &[Self] {
        match *self {}
    }

    sqlx_core::impl_statement_query!(NoArguments);
}

#[derive(Default)]
pub(crate) struct Done;

impl Extend<Done> for Done {
    fn extend<T: IntoIterator<Item = Done>>(&mut self, _: T) {}
}

#[derive(Default)]
pub(crate) struct NoArguments;

impl Arguments for NoArguments {
    type Database = Nothing;

    fn reserve(&mut self, _: usize, _: usize) {}

    fn add<'t, T: Encode<'t, Nothing> + Type<Nothing>>(&mut self, _: T) -> Result<(), BoxDynError> {
        Err("it takes no arguments".into())
    }

    fn len(&self) -> usize {
        0
    }
}

impl IntoArguments<Nothing> for NoArguments {
    fn into_arguments(self) -> Self {
        self
    }
}
