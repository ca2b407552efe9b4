//! The functions of Cedar's extension types: decimals, addresses, instants and durations.

use super::{Machine, TrapKind};
use crate::policy::code::Function;
use crate::policy::convert::made;
use crate::policy::datum::Ip;
use crate::policy::value::Val;

impl<'a> Machine<'a, '_> {
    fn decimals(&mut self) -> Result<(i64, i64), TrapKind> {
        let right = self.pop()?;
        let left = self.pop()?;
        match (left, right) {
            (Val::Decimal(left), Val::Decimal(right)) => Ok((left, right)),
            (Val::Decimal(_), other) | (other, _) => Err(TrapKind::Type("decimal", other.word())),
        }
    }

    fn ip(&mut self) -> Result<Ip, TrapKind> {
        match self.pop()? {
            Val::Ip(ip) => Ok(ip),
            other => Err(TrapKind::Type("ipaddr", other.word())),
        }
    }

    fn datetime(&mut self) -> Result<i64, TrapKind> {
        match self.pop()? {
            Val::Datetime(millis) => Ok(millis),
            other => Err(TrapKind::Type("datetime", other.word())),
        }
    }

    fn duration(&mut self) -> Result<i64, TrapKind> {
        match self.pop()? {
            Val::Duration(millis) => Ok(millis),
            other => Err(TrapKind::Type("duration", other.word())),
        }
    }

    pub(super) fn call(&mut self, function: Function) -> Result<Val<'a>, TrapKind> {
        const DAY: i64 = 86_400_000;
        let overflow = TrapKind::Overflow;
        Ok(match function {
            Function::Decimal => self.made("decimal")?,
            Function::Ip => self.made("ip")?,
            Function::Datetime => self.made("datetime")?,
            Function::Duration => self.made("duration")?,
            Function::LessThan => self.decimals().map(|(a, b)| Val::Bool(a < b))?,
            Function::LessThanOrEqual => self.decimals().map(|(a, b)| Val::Bool(a <= b))?,
            Function::GreaterThan => self.decimals().map(|(a, b)| Val::Bool(a > b))?,
            Function::GreaterThanOrEqual => self.decimals().map(|(a, b)| Val::Bool(a >= b))?,
            Function::IsIpv4 => Val::Bool(self.ip()?.is_v4()),
            Function::IsIpv6 => Val::Bool(!self.ip()?.is_v4()),
            Function::IsLoopback => Val::Bool(self.ip()?.is_loopback()),
            Function::IsMulticast => Val::Bool(self.ip()?.is_multicast()),
            Function::IsInRange => {
                let range = self.ip()?;
                Val::Bool(self.ip()?.is_in_range(&range))
            }
            Function::Offset => {
                let by = self.duration()?;
                Val::Datetime(self.datetime()?.checked_add(by).ok_or(overflow)?)
            }
            Function::DurationSince => {
                let since = self.datetime()?;
                Val::Duration(self.datetime()?.checked_sub(since).ok_or(overflow)?)
            }
            Function::ToDate => {
                let millis = self.datetime()?;
                Val::Datetime(millis.checked_sub(millis.rem_euclid(DAY)).ok_or(overflow)?)
            }
            Function::ToTime => Val::Duration(self.datetime()?.rem_euclid(DAY)),
            Function::ToMilliseconds => Val::Long(self.duration()?),
            Function::ToSeconds => Val::Long(self.duration()? / 1000),
            Function::ToMinutes => Val::Long(self.duration()? / 60_000),
            Function::ToHours => Val::Long(self.duration()? / 3_600_000),
            Function::ToDays => Val::Long(self.duration()? / DAY),
        })
    }

    /// A value made of text that is not known before: Cedar itself reads it.
    fn made(&mut self, function: &'static str) -> Result<Val<'a>, TrapKind> {
        match self.pop()? {
            Val::Str(text) => {
                let datum = made(function, text).ok_or(TrapKind::Malformed(function))?;
                Ok(Val::of(self.env.keeper.keep(datum)))
            }
            other => Err(TrapKind::Type("string", other.word())),
        }
    }
}
