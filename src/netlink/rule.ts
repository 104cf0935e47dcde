// Policy routing rules: RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE (include/uapi/linux/fib_rules.h). Pure.

import {
  attributeAt,
  attributeBytes,
  attributeText,
  attributeType,
  type MessageWriter,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_DELRULE,
  RTM_GETRULE,
  RTM_NEWRULE,
  u32,
} from './message.ts';

export const FR_ACT_TO_TBL = 1;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;
const BODY = 28;

export interface Rule {
  family: number;
  priority: number;
  /** FR_ACT_*. */
  action: number;
  table: number;
  protocol: number;
  source?: { bytes: Uint8Array; length: number };
  destination?: { bytes: Uint8Array; length: number };
  fwmark?: number;
  fwmask?: number;
  inputName?: string;
  outputName?: string;
}

export function decodeRule(bytes: Uint8Array, start: number, end: number): Rule | undefined {
  if (end < start + BODY) return undefined;
  const rule: Rule = {
    family: bytes[start + 16]!,
    priority: 0,
    action: bytes[start + 23]!,
    table: bytes[start + 20]!,
    protocol: 0,
  };
  const destinationLength = bytes[start + 17]!;
  const sourceLength = bytes[start + 18]!;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === FRA_PRIORITY) rule.priority = u32(bytes, at + 4);
    else if (type === FRA_TABLE) rule.table = u32(bytes, at + 4);
    else if (type === FRA_PROTOCOL) rule.protocol = bytes[at + 4]!;
    else if (type === FRA_FWMARK) rule.fwmark = u32(bytes, at + 4);
    else if (type === FRA_FWMASK) rule.fwmask = u32(bytes, at + 4);
    else if (type === FRA_IIFNAME) rule.inputName = attributeText(bytes, at, n);
    else if (type === FRA_OIFNAME) rule.outputName = attributeText(bytes, at, n);
    else if (type === FRA_SRC) rule.source = { bytes: attributeBytes(bytes, at, n), length: sourceLength };
    else if (type === FRA_DST) {
      rule.destination = { bytes: attributeBytes(bytes, at, n), length: destinationLength };
    }
  }
  return rule;
}

export function encodeRuleDump(writer: MessageWriter, seq: number, family: number): void {
  writer
    .begin(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, seq)
    .u32(family)
    .u32(0)
    .u32(0)
    .end();
}

export function encodeRuleAdd(writer: MessageWriter, seq: number, flags: number, rule: Rule): void {
  encodeRule(writer, RTM_NEWRULE, flags | NLM_F_REQUEST, seq, rule);
}

export function encodeRuleDelete(writer: MessageWriter, seq: number, rule: Rule): void {
  encodeRule(writer, RTM_DELRULE, NLM_F_REQUEST, seq, rule);
}

export function encodeRule(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  rule: Rule,
): void {
  writer.begin(type, flags, seq);
  writer
    .u8(rule.family)
    .u8(rule.destination?.length ?? 0)
    .u8(rule.source?.length ?? 0)
    .u8(0);
  writer
    .u8(rule.table < 256 ? rule.table : 0)
    .u8(0)
    .u8(0)
    .u8(rule.action)
    .u32(0);
  if (rule.destination) writer.attributeBytes(FRA_DST, rule.destination.bytes);
  if (rule.source) writer.attributeBytes(FRA_SRC, rule.source.bytes);
  if (rule.inputName !== undefined) writer.attributeText(FRA_IIFNAME, rule.inputName);
  if (rule.outputName !== undefined) writer.attributeText(FRA_OIFNAME, rule.outputName);
  writer.attributeU32(FRA_PRIORITY, rule.priority).attributeU32(FRA_TABLE, rule.table);
  if (rule.fwmark !== undefined) writer.attributeU32(FRA_FWMARK, rule.fwmark);
  if (rule.fwmask !== undefined) writer.attributeU32(FRA_FWMASK, rule.fwmask);
  if (rule.protocol !== 0) writer.attributeU8(FRA_PROTOCOL, rule.protocol);
  writer.end();
}
