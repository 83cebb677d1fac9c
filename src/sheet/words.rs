//! How are reasons and doubts told to people? Lines of JSON keep their codes.

use super::Language;
use crate::verify::Doubt;

/// Why a picture waits or is in doubt, and why details are missing: codes in words, other texts as they are.
pub(crate) fn words_of(reason: &str, language: Language) -> &str {
    let (english, chinese) = match reason {
        "max_calls" => ("as many calls were made as --max-calls allows", "已达到 --max-calls 允许的调用次数"),
        "budget_spent" => ("the day's budget is spent", "今日预算已用完"),
        "offline" => ("offline: nothing was asked", "离线，未查询"),
        "interrupted" => ("the run was interrupted", "运行被中断"),
        "no_upstream" => ("no upstream is configured", "未配置上游"),
        "too_elongated" => ("too elongated to be asked about as a whole", "图片过长，不宜整体查询"),
        "quota_spent" => ("the upstream's quota is spent", "上游额度已用完"),
        "breaker_open" => ("the upstream failed too often just now", "上游刚才多次出错，暂停查询"),
        "too_slow" => ("too many wait for their turn", "排队过多"),
        "deadline_passed" => ("there was no time left", "时间已到"),
        "upstream_failed" => ("the upstream was asked and failed", "上游查询失败"),
        "unreadable" => ("the upstream's answer cannot be read", "上游的回答无法读取"),
        "cannot_store" => ("the home cannot be written", "数据目录无法写入"),
        "upstream_auth" => ("the upstream does not accept the credentials", "上游不接受凭证"),
        "upstream_acl" => ("the upstream has not given the permission", "上游未授予权限"),
        "upstream_signature" => ("the upstream does not accept the signature", "上游不接受签名"),
        "upstream_unsupported" => ("the upstream does not know the call", "上游不支持此调用"),
        other => match Doubt::of_code(other) {
            Some(doubt) => doubt.in_words(),
            None => return other,
        },
    };
    language.of(english, chinese)
}
