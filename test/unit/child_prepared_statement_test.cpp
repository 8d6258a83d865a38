// Virtual prepared statements: which are the same, what is remembered of them, and for how long.
#include "child/prepared_statement.h"
#include "child/wire.h"

#include <algorithm>
#include <list>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::literals;

using Context = PreparedStatementTable::Context;

constexpr std::string_view kNoTypes = "\0\0"sv;

struct Fixture {
    StatementCache cache{64};
    PreparedStatementTable table;
    PreparedStatementRef intern(std::string_view text, std::string_view types = kNoTypes, Context context = {}) {
        return table.intern(text, types, context, cache);
    }
};

// -- PreparedStatementTable

void the_same_statement_is_one(void **) {
    Fixture f;
    const Context path{.settings = "s", .rules = {}, .catalog_generation = 0, .now_ms = 0};
    const PreparedStatementRef one = f.intern("SELECT $1");
    const PreparedStatementRef same = f.intern("SELECT $1");
    const PreparedStatementRef other_text = f.intern("SELECT  $1");
    const PreparedStatementRef other_types = f.intern("SELECT $1", "\0\1\0\0\0\x17"sv);
    const PreparedStatementRef other_path = f.intern("SELECT $1", kNoTypes, path);
    const std::string_view names[] = {one->server_name(), other_text->server_name(), other_types->server_name(),
                                      other_path->server_name()};
    size_t equal_names = 0;
    size_t foreign_names = 0;
    for (size_t i = 0; i < std::size(names); i++) {
        foreign_names += names[i].starts_with(kServerStatementPrefix) ? 0 : 1;
        for (size_t k = 0; k < i; k++) {
            equal_names += names[i] == names[k] ? 1 : 0;
        }
    }
    assert_true(one == same);
    assert_false(one == other_text);
    assert_false(one == other_types);
    assert_false(one == other_path);
    assert_int_equal(f.table.size(), 4);
    assert_int_equal(equal_names, 0);
    assert_int_equal(foreign_names, 0);
    assert_true(other_types->text() == "SELECT $1" && other_types->types() == "\0\1\0\0\0\x17"sv);
    assert_int_equal(one->statement()->what().kind, StatementKind::read);
}

void a_version_ends_with_ddl_and_with_time(void **) {
    struct Case {
        uint64_t generation;
        int64_t now_ms;
        uint32_t version;
    };
    const Case cases[] = {
        {1, 5000, 1}, {1, 5999, 1}, {1, 6000, 2}, {1, 6999, 2}, {2, 6999, 3},
        {2, 7000, 3}, {2, 7998, 3}, {2, 7999, 4}, {9, 7999, 5}, {9, 9999, 6},
    };
    Fixture f;
    for (const Case &c : cases) {
        const auto statement =
            f.intern("SELECT 1", kNoTypes,
                     {.settings = {}, .rules = {}, .catalog_generation = c.generation, .now_ms = c.now_ms});
        const uint32_t version = statement->version();
        assert_int_equal(version, c.version);
    }
}

void the_last_ones_are_kept_though_nobody_holds_them(void **) {
    Fixture f;
    const uint64_t id = f.intern("SELECT 0")->id();
    for (int i = 1; i <= 255; i++) {
        (void)f.intern("SELECT " + std::to_string(i));
    }
    const bool kept = f.intern("SELECT 0")->id() == id;
    const size_t full = f.table.size();
    (void)f.intern("SELECT 256"); // takes the place of the oldest
    const size_t still_full = f.table.size();
    const bool replaced = f.intern("SELECT 0")->id() != id;
    PreparedStatementRef held = f.intern("SELECT held");
    const uint64_t held_id = held->id();
    for (int i = 1000; i < 2000; i++) {
        (void)f.intern("SELECT " + std::to_string(i));
    }
    const bool held_is_there = f.intern("SELECT held") == held && held->id() == held_id;
    const size_t with_held = f.table.size();
    held = {};
    const size_t without = f.table.size();
    assert_true(kept);
    assert_int_equal(full, 256);
    assert_int_equal(still_full, 256);
    assert_true(replaced);
    assert_true(held_is_there);
    assert_int_equal(with_held, 257);
    assert_int_equal(without, 256);
}

// -- NamedStatements

void a_session_has_its_own_names(void **) {
    Fixture f;
    NamedStatements named;
    const PreparedStatementRef one = f.intern("SELECT 1");
    const PreparedStatementRef two = f.intern("SELECT 2");
    const bool none_at_first = named.empty() && named.find("a") == nullptr;
    for (const char *name : {"m", "a", "z", "S_1", "S_10", "S_2", "b"}) {
        named.define({.name = name, .statement = one, .shape = 0, .version = 3, .materialised = false});
    }
    named.define({.name = "b", .statement = two, .shape = 9, .version = 4, .materialised = true});
    const size_t count = named.all().size();
    bool all_found = true;
    for (const char *name : {"m", "a", "z", "S_1", "S_10", "S_2"}) {
        const NamedStatement *found = named.find(name);
        all_found = all_found && found != nullptr && found->name == name && found->statement == one;
    }
    const NamedStatement *b = named.find("b");
    const bool redefined = b != nullptr && b->statement == two && b->shape == 9 && b->version == 4 && b->materialised;
    named.remove("S_1");
    named.remove("nobody");
    const bool removed = named.find("S_1") == nullptr && named.find("S_10") != nullptr && named.all().size() == 6;
    named.clear();
    assert_true(none_at_first);
    assert_int_equal(count, 7);
    assert_true(all_found);
    assert_true(redefined);
    assert_true(removed);
    assert_true(named.empty());
    assert_null(named.find("m"));
}

// -- ServerStatements

void the_least_recently_used_gives_way(void **) {
    Fixture f;
    ServerStatements there(3);
    const PreparedStatementRef a = f.intern("SELECT 'a'");
    const PreparedStatementRef b = f.intern("SELECT 'b'");
    const PreparedStatementRef c = f.intern("SELECT 'c'");
    const PreparedStatementRef d = f.intern("SELECT 'd'");
    there.add(a, 1);
    there.add(b, 1);
    const bool room = !there.evict().statement;
    there.add(c, 1);
    const bool used = there.touch(*a) != nullptr; // now b is the oldest
    const bool unknown = there.touch(*d) == nullptr;
    const auto first = there.evict();
    const bool room_again = !there.evict().statement;
    there.add(d, 1);
    there.add(a, 2); // anew: the newest, and not twice
    const size_t size = there.size();
    const uint32_t version = there.touch(*a)->version;
    const auto second = there.evict();
    there.remove(*b); // not there
    there.remove(*d);
    const size_t left = there.size();
    there.clear();
    const bool cleared = there.size() == 0 && there.touch(*a) == nullptr && !there.evict().statement;
    assert_true(room);
    assert_true(used);
    assert_true(unknown);
    assert_true(first.statement == b);
    assert_true(room_again);
    assert_int_equal(size, 3);
    assert_int_equal(version, 2);
    assert_true(second.statement == c);
    assert_int_equal(left, 1);
    assert_true(cleared);
}

void a_shape_belongs_to_one_preparation(void **) {
    Fixture f;
    ServerStatements there(8);
    const PreparedStatementRef a = f.intern("SELECT 'a'");
    const PreparedStatementRef b = f.intern("SELECT 'b'");
    there.set_shape(*a, 5); // not there: nothing happens
    const bool absent = there.touch(*a) == nullptr;
    there.add(a, 1);
    there.add(b, 1);
    const uint64_t at_first = there.touch(*a)->shape;
    there.set_shape(*a, 5);
    const uint64_t known = there.touch(*a)->shape;
    const uint64_t other = there.touch(*b)->shape;
    there.add(a, 2);
    const uint64_t prepared_anew = there.touch(*a)->shape;
    assert_true(absent);
    assert_int_equal(at_first, 0);
    assert_int_equal(known, 5);
    assert_int_equal(other, 0);
    assert_int_equal(prepared_anew, 0);
}

// Against a list, newest first.
void the_order_of_use_is_kept(void **) {
    Fixture f;
    constexpr size_t kLimit = 7;
    ServerStatements there(kLimit);
    std::vector<PreparedStatementRef> all;
    for (int i = 0; i < 12; i++) {
        all.push_back(f.intern("SELECT " + std::to_string(i)));
    }
    std::list<size_t> model;
    uint32_t random = 7;
    size_t different = 0;
    size_t evicted = 0;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        const size_t which = (random >> 8) % all.size();
        const bool known = std::find(model.begin(), model.end(), which) != model.end();
        switch (random >> 24 & 7) {
        case 0:
            there.remove(*all[which]);
            model.remove(which);
            break;
        case 1:
        case 2:
        case 3:
            if (!known) {
                const auto gone = there.evict();
                different += static_cast<bool>(gone.statement) == (model.size() >= kLimit) ? 0 : 1;
                if (gone.statement) {
                    different += gone.statement == all[model.back()] ? 0 : 1;
                    model.pop_back();
                    evicted++;
                }
            }
            there.add(all[which], 1);
            model.remove(which);
            model.push_front(which);
            break;
        default:
            different += (there.touch(*all[which]) != nullptr) == known ? 0 : 1;
            if (known) {
                model.remove(which);
                model.push_front(which);
            }
        }
        different += there.size() == model.size() ? 0 : 1;
    }
    assert_int_equal(different, 0);
    assert_true(evicted > 100);
}

// -- ShapeHash

struct Column {
    std::string_view name;
    uint32_t table;
    uint16_t attribute;
    uint32_t type;
    uint16_t size;
    uint32_t modifier;
    uint16_t format;
};

std::string columns(std::initializer_list<Column> list) {
    std::string message;
    MessageWriter w(message);
    w.begin('T').u16(static_cast<uint16_t>(list.size()));
    for (const Column &c : list) {
        w.string(c.name).u32(c.table).u16(c.attribute).u32(c.type).u16(c.size).u32(c.modifier).u16(c.format);
    }
    w.end();
    return message.substr(kHeaderBytes);
}

std::string parameters(std::initializer_list<uint32_t> types) {
    std::string message;
    MessageWriter w(message);
    w.begin('t').u16(static_cast<uint16_t>(types.size()));
    for (const uint32_t type : types) {
        w.u32(type);
    }
    w.end();
    return message.substr(kHeaderBytes);
}

uint64_t shape(const std::string &parameters, const std::string &columns) {
    ShapeHash hash;
    (void)hash.add_parameters(parameters);
    (void)hash.add_columns(columns);
    return hash.value();
}

void a_shape_is_what_postgresql_compares(void **) {
    const Column column{"a", 1, 2, 23, 4, UINT32_MAX, 0};
    const uint64_t base = shape(parameters({23}), columns({column}));
    struct Case {
        std::string parameters, columns;
        bool same;
    };
    const Case cases[] = {
        {parameters({23}), columns({column}), true},
        {parameters({23}), columns({{"a", 9, 2, 23, 4, UINT32_MAX, 0}}), true},
        {parameters({23}), columns({{"a", 1, 9, 23, 4, UINT32_MAX, 0}}), true},
        {parameters({23}), columns({{"a", 1, 2, 23, 9, UINT32_MAX, 0}}), true},
        {parameters({23}), columns({{"a", 1, 2, 23, 4, UINT32_MAX, 1}}), true},
        {parameters({23}), columns({{"b", 1, 2, 23, 4, UINT32_MAX, 0}}), false},
        {parameters({23}), columns({{"a", 1, 2, 20, 4, UINT32_MAX, 0}}), false},
        {parameters({23}), columns({{"a", 1, 2, 23, 4, 8, 0}}), false},
        {parameters({23}), columns({column, column}), false},
        {parameters({23}), columns({}), false},
        {parameters({20}), columns({column}), false},
        {parameters({23, 23}), columns({column}), false},
        {parameters({}), columns({column}), false},
    };
    for (const Case &c : cases) {
        const bool same = shape(c.parameters, c.columns) == base;
        assert_int_equal(same, c.same);
    }
    const uint64_t nothing = ShapeHash().value();
    assert_true(base != 0 && nothing != 0);
}

void a_description_cut_short_is_refused(void **) {
    const std::string whole_columns = columns({{"a", 1, 2, 23, 4, 8, 0}, {"", 1, 2, 23, 4, 8, 0}});
    const std::string whole_parameters = parameters({23, 25});
    const auto taken = [](const std::string &bytes, bool (ShapeHash::*add)(std::string_view)) {
        const std::vector<char> exact(bytes.begin(), bytes.end()); // nothing readable behind it
        ShapeHash hash;
        return (hash.*add)({exact.data(), exact.size()});
    };
    size_t taken_short = 0;
    for (size_t size = 0; size < whole_columns.size(); size++) {
        taken_short += taken(whole_columns.substr(0, size), &ShapeHash::add_columns) ? 1 : 0;
    }
    for (size_t size = 0; size < whole_parameters.size(); size++) {
        taken_short += taken(whole_parameters.substr(0, size), &ShapeHash::add_parameters) ? 1 : 0;
    }
    const bool whole =
        taken(whole_columns, &ShapeHash::add_columns) && taken(whole_parameters, &ShapeHash::add_parameters);
    const bool too_many = taken("\xff\xff\0\0\0\1"s, &ShapeHash::add_parameters);
    assert_int_equal(taken_short, 0);
    assert_true(whole);
    assert_false(too_many);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_same_statement_is_one),
        cmocka_unit_test(a_version_ends_with_ddl_and_with_time),
        cmocka_unit_test(the_last_ones_are_kept_though_nobody_holds_them),
        cmocka_unit_test(a_session_has_its_own_names),
        cmocka_unit_test(the_least_recently_used_gives_way),
        cmocka_unit_test(a_shape_belongs_to_one_preparation),
        cmocka_unit_test(the_order_of_use_is_kept),
        cmocka_unit_test(a_shape_is_what_postgresql_compares),
        cmocka_unit_test(a_description_cut_short_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
