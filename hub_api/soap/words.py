"""What is wrong, in Chinese, by the code that the English words go with. Values never appear: they may be personal."""

from typing import Final

from connectors.kit.soap_validation import Violation

_RULES: Final = {
    "type": "值不是有效的{limit}，请更正",
    "too_long": "超过 {limit} 个字符，请缩短",
    "too_short": "不足 {limit} 个字符，请填写，或不要发送该元素",
    "length": "必须为 {limit} 个字符",
    "pattern": "格式不符合 {limit}，请更正",
    "choice": "只能是以下之一：{limit}",
    "too_small": "小于最小值 {limit}",
    "too_large": "大于最大值 {limit}",
    "digits": "超过 {limit} 位数字",
    "missing": "缺少该元素，请发送",
    "too_many": "重复超过 {limit} 次，请分批发送",
    "unexpected": "此处不应出现该元素",
    "attribute": "含有契约不认识的属性，请删除",
    "no_attribute": "缺少契约要求的属性",
    "nil": "不能为 nil，没有值就不要发送该元素",
    "text": "含有不允许出现的内容",
    "undeclared": "契约中没有该元素",
}
_TYPES: Final = {
    "long": "整数",
    "int": "整数",
    "boolean": "布尔值（true 或 false）",
    "dateTime": "时间，如 2026-03-01T09:30:00+08:00",
    "date": "日期，如 2026-03-01",
    "decimal": "小数",
    "double": "数字",
    "string": "文本",
}
_CODES: Final = {
    "access": "身份无效：用户名、密码或密钥不正确、已过期或已吊销，请核对凭证",
    "access.token": "WS-Security 的 UsernameToken 不完整或格式错误，请核对",
    "access.stale": "UsernameToken 的 Created 不在最近五分钟内，请校准时钟，并为每条消息生成新的令牌",
    "access.replayed": "UsernameToken 的 Nonce 已经用过，请为每条消息生成新的令牌",
    "access.scope": "该凭证没有所需的权限，请申请相应的 ingest 权限",
    "access.brand": "该系统属于另一个品牌，请使用该品牌的凭证",
    "body.limit": "消息体过大，请分批发送",
    "body.slow": "消息体到达太慢，请减小批量或使用更快的线路",
    "body.room": "同时到达的消息体过多，请稍后重发",
    "body.encoding": "不接受压缩的消息体，请原样发送",
    "body.truncated": "消息体提前结束，请重新发送完整的消息",
    "brand.foreign": "记录属于另一个品牌",
    "contract.unknown_field": "契约中没有该字段，请停止发送或扩展契约",
    "crosswalk.taken": "该外部编码已指向另一条记录，请更正编码",
    "document.depth": "元素嵌套过深，请发送扁平的记录",
    "document.dtd": "报文含有 DOCTYPE，SOAP 不允许，请去掉",
    "document.empty": "消息体为空，请发送 SOAP 信封",
    "document.encoding": "编码或字符不合法，请发送合法的 UTF-8",
    "document.entity": "使用了 XML 未定义的实体，请直接发送字符",
    "document.media_type": "这不是 SOAP 消息，请发送 text/xml（SOAP 1.1）或 application/soap+xml（SOAP 1.2）",
    "document.nul": "报文含有 NUL 字符，请在来源处去掉",
    "document.syntax": "XML 格式不正确，请用 XML 程序库生成报文",
    "document.truncated": "XML 不完整，请发送完整的报文",
    "internal": "发生了意外错误，请把错误编号告知中台",
    "limit.body": "消息体过大，请分批发送",
    "limit.header": "Header 过大，请缩短",
    "limit.marks": "元素或属性过多，请分批发送",
    "message.key_invalid": "messageId 须为 1 至 200 个可打印字符",
    "message.key_missing": "缺少 messageId",
    "message.key_reused": "该 messageId 已用于另一份内容，新内容请使用新的 messageId",
    "operation.unsupported": "该系统不接收此操作，请核对系统名与操作",
    "sku.unknown": "未知的 SKU，请先推送商品资料；补齐后会自动重试",
    "location.unknown": "未知的地点，请先建立地点资料；补齐后会自动重试",
    "member.unknown": "未知的会员，请先推送会员资料；补齐后会自动重试",
    "order.channel": "渠道与推送的系统不符，请以本渠道发送",
    "order.conflict": "同一订单号已有不同内容，请核对",
    "points.conflict": "同一积分流水号已有不同内容，请核对",
    "record.unstorable": "记录中有无法存储的值，请在来源处更正",
    "soap.body": "Body 中必须恰好有一个操作元素",
    "soap.envelope": "信封结构不正确：至多一个 Header，然后恰好一个 Body",
    "soap.namespace": "操作的命名空间不正确，请使用 WSDL 中的命名空间",
    "soap.not_understood": "含有必须理解（mustUnderstand）而本服务不支持的头，请去掉",
    "soap.operation": "没有这个操作，请使用 WSDL 中的操作",
    "soap.version": "信封既不是 SOAP 1.1 也不是 SOAP 1.2",
    "system.ambiguous": "凭证可以推送多个系统，请用 system 元素指明其中一个",
    "system.unknown": "没有连接这个系统，请核对系统名",
    "unit.unknown": "未知的计量单位，请更正",
    "value.invalid": "值无法识别，请更正",
    "value.missing": "缺少必填的值，请填写",
    "value.unstorable": "有无法存储的字符或数值，请去掉",
}
_FAMILIES: Final = {
    "amount": "金额不正确，请更正",
    "code": "编码不正确，请更正",
    "contract": "不符合数据契约，请更正",
    "crosswalk": "外部编码有冲突，请更正",
    "currency": "未知的币种，请更正",
    "document": "报文无法读取，请更正",
    "flag": "是否标志不正确，请更正",
    "gtin": "商品条码校验不通过，请更正",
    "location": "地点不正确，请更正",
    "member": "会员不正确，请更正",
    "number": "数字不正确，请更正",
    "order": "订单不正确，请更正",
    "points": "积分不正确，请更正",
    "product": "商品不正确，请更正",
    "quantity": "数量不正确，请更正",
    "sku": "SKU 不正确，请更正",
    "stock": "库存不正确，请更正",
    "time": "时间不正确，请更正",
    "type": "类型不正确，请更正",
    "unit": "计量单位不正确，请更正",
}
LATER: Final = "中台暂时无法处理，请稍后用同一个 messageId 重发"
REFUSED: Final = "请求被拒绝，请按代码更正后重发"


def zh_of_code(code: str) -> str:
    """Chinese words for a refusal or an issue; for a code that is not known, those of its family."""
    return _CODES.get(code) or _FAMILIES.get(code.partition(".")[0], REFUSED)


def zh_of_violation(violation: Violation) -> str:
    """Chinese words for what a schema forbids."""
    limit = violation.limit
    if violation.code == "type":
        limit = _TYPES.get(limit, "值")
    sentence = _RULES[violation.code].format(limit=limit)
    expected = violation.code == "unexpected" and limit
    return f"{sentence}，应为 {limit}" if expected else sentence
