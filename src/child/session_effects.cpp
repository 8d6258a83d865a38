// session_effects.cpp: Session noting, before a statement runs, what it may leave behind.
#include "child/pool.h"
#include "child/reset_names.h"
#include "child/server_connection.h"
#include "child/session.h"
#include "child/setting_names.h"
#include "child/worker_process.h"

#include <algorithm>
#include <utility>

namespace pgbalancer {

namespace {

constexpr size_t kMaxTrackedSetting = 1024;

} // namespace

void Session::note_unknown_statement() {
    begin_changes();
    effects_ |= kOpaque | kMayUnpin;
    unknown_ = true;
}

uint32_t Session::effects_of(const StatementRef &statement) {
    Database &known = pool_->known();
    if (known.facts.loaded() &&
        known.facts_generation != worker_.shared().facts_generation().load(std::memory_order_acquire)) {
        known.facts.forget(); // DDL went by: the cautious answers until they are read again
    }
    return statement->effects(known.facts);
}

// currval() and lastval() answer for the server connection. Unless it was this session that moved a sequence there, the
// server is made to forget, so that it says what PostgreSQL says to a session that never did, and nobody sees another's
// values. From then on sessions of this pool keep the connection on which they move a sequence.
Session::Sequences Session::own_sequences(uint32_t effects) {
    const bool asks = (effects & kReadsSequenceState) != 0;
    if (asks) {
        pool_->note_sequence_question();
    }
    // Whether the statement really moves a sequence is not certain. If it does not, another session's values must not
    // be taken for its own afterwards. As long as nobody asks, only who will stay on the connection pays for that.
    const bool may_move = (effects & kMayMoveSequences) != 0 &&
                          (pool_->asks_sequences() || pins_ != kNotPinned || (effects & kPinSequence) != 0);
    if ((!asks && !may_move) || server_->sequence_owner() == 0 || server_->sequence_owner() == identity_) {
        return Sequences::own;
    }
    if (!server_->quiet()) {
        if (!server_->ends_by_itself()) {
            return asks ? Sequences::foreign : Sequences::own; // in the middle of a batch nothing of ours can be sent
        }
        pause_ |= kPausedForReady;
        return Sequences::wait;
    }
    if (server_->transaction_status() == 'E') {
        return Sequences::own; // it will be refused
    }
    server_->set_sequence_owner(0);
    restoring_ = true;
    server_->send_internal_query("DISCARD SEQUENCES", Purpose::settings);
    worker_.to_servers().flush();
    pause_ |= kPausedForExchange;
    return Sequences::wait;
}

void Session::note_effects(const StatementRef &statement, uint32_t effects, std::string_view text) {
    note_changes(statement, text);
    if (effects == 0) {
        return;
    }
    Database &known = pool_->known();
    if (!known.facts.loaded()) {
        known.facts_wanted = true;
    }
    effects_ |= effects;
    const Classification &what = statement->what();
    const bool hidden = what.kind == StatementKind::do_block || what.kind == StatementKind::unknown;
    if ((effects & (kSetsSetting | kResets | kDeallocatesAll | kNamesPrepared)) == 0 && !hidden) {
        return;
    }
    if ((effects & (kResets | kDeallocatesAll)) != 0) {
        barrier_ = true;
    }
    if ((effects & kNamesPrepared) != 0) {
        // In a failed transaction a Parse would fail, and with it a Query that begins with ROLLBACK.
        if (server_->transaction_status() != 'E') {
            materialise(what);
        }
        real_names_ = true;
    }
    if ((effects & (kSetsSetting | kResets)) != 0 || hidden) {
        for (std::string &name : custom_settings_in(what, text)) {
            if (pins_ != kNotPinned) {
                server_->note_custom_setting(name); // perhaps no probe will
            }
            known.add_custom_setting(std::move(name));
        }
        if (sets_unknown_custom_setting(text)) {
            effects_ |= kPinSession;
        }
        if ((effects & (kSetsSetting | kResets)) == 0) {
            return;
        }
        const bool single = what.kind == StatementKind::set || what.kind == StatementKind::reset;
        const bool first = server_->quiet() && server_->transaction_status() == 'I' && effects_ == effects;
        if (!setting_) {
            setting_ = std::make_unique<PendingSetting>();
            setting_->alone = single && first && !what.name.empty() && text.size() <= kMaxTrackedSetting &&
                              (effects & (kPinSetting | kSetsRole)) == 0 && means_the_same_anywhere(what, text);
            if (setting_->alone) {
                setting_->name = what.name;
                setting_->statement = (effects & kResets) == 0 ? text : std::string_view();
            }
        } else {
            setting_->alone = false;
        }
        if ((effects & kResets) != 0) {
            for (std::string &name : settings_reset_in(what, text)) {
                setting_->resets.push_back(std::move(name));
            }
        }
    } else if (setting_) {
        setting_->alone = false;
    }
}

// EXECUTE and DEALLOCATE mean statements by the client's names, which exist on no server: they are made to.
void Session::materialise(const Classification &what) {
    const auto make = [this](NamedStatement &named) {
        if (!named.materialised && !named.closed) {
            Note note;
            note.name = named.name;
            note.materialise = true;
            parse_on_server(named.name, named.statement, Purpose::prepare, server_->add_note(std::move(note)));
            named.materialised = true;
            effects_ |= kPinSession;
            barrier_ = true; // should it fail, the server skips whatever is there up to a Sync
        }
    };
    if (what.kind == StatementKind::deallocate || what.kind == StatementKind::execute ||
        what.kind == StatementKind::explain || what.kind == StatementKind::prepare) {
        if (NamedStatement *named = named_.find(what.name)) {
            make(*named);
            if (what.kind == StatementKind::deallocate) {
                deallocating_ = std::make_unique<std::string>(what.name);
                barrier_ = true;
            }
            return;
        }
        if (what.kind != StatementKind::explain) {
            return;
        }
    }
    // A statement that looks at all of them must see the client's and no others.
    for (auto shared = server_->statements().take_any(); shared.statement; shared = server_->statements().take_any()) {
        Note note;
        note.statement = shared.statement;
        note.version = shared.version;
        close_on_server(shared.statement->server_name(), Purpose::evict, server_->add_note(std::move(note)));
    }
    for (NamedStatement &named : named_.all()) {
        make(named);
    }
}

} // namespace pgbalancer
