// classification_text.h: a Classification as one line, for the tables of the tests.
#pragma once

#include "sql/classification.h"

#include <string>
#include <utility>
#include <vector>

namespace pgbalancer {

// "kind Effect … writes name=… read-only isolation=N hint=N F:functions R:relations O:operators T:types", what is empty
// left out. Builtins and attributes are not in it.
inline std::string describe(const Classification &what) {
    static const char *const kKinds[] = {"unknown",
                                         "empty",
                                         "multiple",
                                         "read",
                                         "write",
                                         "begin",
                                         "commit",
                                         "rollback",
                                         "savepoint",
                                         "prepare_transaction",
                                         "commit_prepared",
                                         "set",
                                         "set_local",
                                         "reset",
                                         "show",
                                         "discard",
                                         "prepare",
                                         "execute",
                                         "deallocate",
                                         "declare_cursor",
                                         "fetch_or_close",
                                         "listen",
                                         "unlisten",
                                         "notify",
                                         "lock",
                                         "copy_from",
                                         "copy_to",
                                         "explain",
                                         "call",
                                         "do_block",
                                         "ddl"};
    static const std::pair<uint32_t, const char *> kEffects[] = {{kPinListen, "PinListen"},
                                                                 {kPinTempObject, "PinTempObject"},
                                                                 {kPinHoldCursor, "PinHoldCursor"},
                                                                 {kPinAdvisoryLock, "PinAdvisoryLock"},
                                                                 {kPinPrepare, "PinPrepare"},
                                                                 {kPinLoad, "PinLoad"},
                                                                 {kPinSequence, "PinSequence"},
                                                                 {kPinSetting, "PinSetting"},
                                                                 {kPinSession, "PinSession"},
                                                                 {kSetsSetting, "SetsSetting"},
                                                                 {kResets, "Resets"},
                                                                 {kResetsInside, "ResetsInside"},
                                                                 {kMayUnpin, "MayUnpin"},
                                                                 {kDeallocatesAll, "DeallocatesAll"},
                                                                 {kNamesPrepared, "NamesPrepared"},
                                                                 {kDdl, "Ddl"},
                                                                 {kAltersDefaults, "AltersDefaults"},
                                                                 {kOpaque, "Opaque"},
                                                                 {kReadsSequenceState, "ReadsSequenceState"},
                                                                 {kChain, "Chain"},
                                                                 {kTransactionControl, "TransactionControl"},
                                                                 {kLocks, "Locks"},
                                                                 {kSetsRole, "SetsRole"},
                                                                 {kNow, "Now"},
                                                                 {kNodeBound, "NodeBound"},
                                                                 {kVolatile, "Volatile"},
                                                                 {kSerialInsert, "SerialInsert"}};
    std::string text = kKinds[static_cast<size_t>(what.kind)];
    for (const auto &[bit, name] : kEffects) {
        if ((what.effects & bit) != 0) {
            text += std::string(" ") + name;
        }
    }
    text += what.writes_relations ? " writes" : "";
    text += what.name.empty() ? "" : " name=" + what.name;
    text += what.access == TransactionAccess::read_only    ? " read-only"
            : what.access == TransactionAccess::read_write ? " read-write"
                                                           : "";
    if (what.isolation != TransactionIsolation::unspecified) {
        text += " isolation=" + std::to_string(static_cast<int>(what.isolation));
    }
    if (what.hint != RoutingHint::none) {
        text += " hint=" + std::to_string(static_cast<int>(what.hint));
        text += what.hint == RoutingHint::node ? ":" + std::to_string(what.hint_node) : "";
    }
    const auto list = [&text](const char *label, const std::vector<std::string> &names) {
        for (size_t i = 0; i < names.size(); ++i) {
            text += (i == 0 ? std::string(" ") + label + ":" : ",") + names[i];
        }
    };
    list("F", what.functions);
    list("R", what.relations);
    list("O", what.operators);
    list("T", what.types);
    return text;
}

} // namespace pgbalancer
