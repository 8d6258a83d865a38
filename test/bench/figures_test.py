#!/usr/bin/python3
"""Checks of figures.py, pgbench's report and the protocol reader: run with `python3 test/bench/figures_test.py`."""

import socket
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crowd import Client, error_text, first_value, message  # noqa: E402
from figures import Samples, cpu_verdict, memory_verdicts, throughput_verdict, verdicts  # noqa: E402
from throughput import PgbenchFailed, parse_pgbench  # noqa: E402

CELLS = [f"{protocol}-{clients}" for protocol in ("simple", "extended", "prepared") for clients in (16, 48)]


def sample(cell, proxy, number, cpu_us=None, tps=1000.0, error=""):
    return {"cell": cell, "proxy": proxy, "round": number, "cpu_us": cpu_us, "tps": tps, "foreign": 0.0, "error": error}


def rounds_at(ratios, rounds=7):
    """Samples in which pgbalancer costs the cell's ratio times floor, while floor itself drifts from round to round."""
    taken = []
    for cell, ratio in ratios.items():
        for number in range(rounds):
            floor = 10.0 + 5 * number
            taken += [sample(cell, "floor", number, floor), sample(cell, "pgbalancer", number, floor * ratio)]
    return taken


class Ratios(unittest.TestCase):
    def test_within_the_round(self):
        # The machine slows down threefold; the ratio of the medians would be 0.55.
        taken = [sample("c", "floor", n, cpu) for n, cpu in ((1, 10.0), (2, 20.0), (3, 30.0))]
        taken += [sample("c", "pgbalancer", n, cpu) for n, cpu in ((1, 11.0), (2, 24.0), (3, 33.0))]
        ratio = Samples(taken).ratio("c", "pgbalancer", "floor", "cpu_us")
        self.assertEqual(ratio.count, 3)
        for found, expected in ((ratio.median, 1.1), (ratio.low, 1.1), (ratio.high, 1.2)):
            self.assertAlmostEqual(found, expected)

    def test_failed_samples_do_not_count(self):
        taken = [sample("c", "floor", number, 10.0) for number in (1, 2)]
        taken += [sample("c", "pgbalancer", number, cpu) for number, cpu in ((2, 20.0), (3, 5.0))]
        taken += [sample("c", "pgbalancer", 1, 1.0, error="ended")]
        samples = Samples(taken)
        self.assertEqual(samples.ratio("c", "pgbalancer", "floor", "cpu_us").count, 1)
        self.assertEqual(samples.ratio("c", "pgbalancer", "floor", "cpu_us").median, 2.0)
        self.assertEqual(len(samples.errors()), 1)

    def test_without_common_rounds(self):
        self.assertIsNone(Samples([sample("c", "floor", 1, 1.0)]).ratio("c", "pgbalancer", "floor", "cpu_us"))


class CpuTarget(unittest.TestCase):
    def verdict(self, ratios, rounds=7):
        return cpu_verdict(Samples(rounds_at(ratios, rounds)), CELLS, "floor", "")

    def test_one_cell_may_be_over_the_target(self):
        ratios = dict.fromkeys(CELLS, 1.09)
        self.assertTrue(self.verdict(ratios).passed)
        self.assertTrue(self.verdict(ratios | {"simple-16": 1.19}).passed)
        self.assertFalse(self.verdict(ratios | {"simple-16": 1.19, "prepared-48": 1.11}).passed)

    def test_no_cell_may_be_over_the_limit(self):
        self.assertFalse(self.verdict(dict.fromkeys(CELLS, 1.0) | {"simple-16": 1.21}).passed)

    def test_a_cell_without_figures_misses(self):
        self.assertFalse(self.verdict({cell: 1.0 for cell in CELLS[1:]}).passed)
        self.assertIsNone(self.verdict({}).passed)

    def test_too_few_rounds_are_said(self):
        self.assertIn("only 3 rounds", self.verdict(dict.fromkeys(CELLS, 1.0), rounds=3).found)
        self.assertNotIn("rounds", self.verdict(dict.fromkeys(CELLS, 1.0)).found)

    def test_with_few_cells_all_must_be_within(self):
        taken = rounds_at({"a": 1.0, "b": 1.15})
        self.assertFalse(cpu_verdict(Samples(taken), ["a", "b"], "floor", "").passed)


class OtherTargets(unittest.TestCase):
    def test_throughput(self):
        taken = [sample("a", "pgbouncer", n, tps=1000.0) for n in range(7)]
        above = taken + [sample("a", "pgbalancer", n, tps=1000.0) for n in range(7)]
        below = taken + [sample("a", "pgbalancer", n, tps=990.0) for n in range(7)]
        self.assertTrue(throughput_verdict(Samples(above), ["a"]).passed)
        self.assertFalse(throughput_verdict(Samples(below), ["a"]).passed)
        self.assertFalse(throughput_verdict(Samples(above), ["a", "not there"]).passed)

    @staticmethod
    def idle(proxy, state, total, many=10000, answered=None, errors=0):
        answered = many if answered is None else answered
        check = {"asked": many, "answered": answered, "error_count": errors, "errors": [], "slowest_seconds": 0.5}
        return {
            "proxy": proxy,
            "state": state,
            "bytes_per_client": {"total": total},
            "few": 2000,
            "many": many,
            "answers": check,
            "state_kept": check if state else None,
        }

    def run_with(self, *idle):
        return {"idle": list(idle), "samples": [], "pool_cells": [], "options": {"workers": 2}}

    def test_memory_limit_is_the_larger_of_ours_and_pgbouncers(self):
        def passed(ours, theirs=None, state=False):
            idle = [self.idle("pgbalancer", state, ours)] + ([self.idle("pgbouncer", state, theirs)] if theirs else [])
            return [verdict.passed for verdict in memory_verdicts(self.run_with(*idle))]

        self.assertEqual(passed(1024.0), [True, None])
        self.assertEqual(passed(1025.0), [False, None])
        self.assertEqual(passed(1200.0, theirs=1250.0), [True, None])
        self.assertEqual(passed(1000.0, theirs=500.0), [True, None])
        self.assertEqual(passed(2048.0, state=True), [None, True])
        self.assertEqual(passed(2049.0, theirs=9000.0, state=True), [None, False])

    def test_answers(self):
        def answers(*idle):
            return verdicts(self.run_with(*idle))[-1].passed

        self.assertTrue(answers(self.idle("pgbalancer", False, 1.0)))
        self.assertFalse(answers(self.idle("pgbalancer", False, 1.0, answered=9999)))
        self.assertFalse(answers(self.idle("pgbalancer", True, 1.0, errors=1)))
        self.assertIsNone(answers(self.idle("pgbalancer", False, 1.0, many=1000)))


class PgbenchReport(unittest.TestCase):
    REPORT = (
        "number of transactions actually processed: 105325\nnumber of failed transactions: 0 (0.000%)\n"
        "latency average = 0.759 ms\ntps = 21073.478401 (without initial connection time)\n"
    )

    def test_figures(self):
        self.assertEqual(parse_pgbench(self.REPORT), (105325, 21073.478401))

    def test_no_figures(self):
        for bad in ("", self.REPORT.replace("105325", "0"), self.REPORT.replace("transactions: 0", "transactions: 3")):
            with self.assertRaises(PgbenchFailed):
                parse_pgbench(bad)


class Protocol(unittest.TestCase):
    ROW = message(b"D", b"\0\1\0\0\0\2" + b"42")
    ANSWER = ROW + message(b"C", b"SELECT 1\0") + message(b"Z", b"I")

    def client(self):
        ours, theirs = socket.socketpair()
        client = Client.__new__(Client)
        client.socket, client.answer, client._partial = ours, [], b""
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        return client, theirs

    def test_an_answer_split_at_every_byte(self):
        for split in range(1, len(self.ANSWER)):
            client, theirs = self.client()
            theirs.send(self.ANSWER[:split])
            self.assertFalse(client.receive(), split)
            theirs.send(self.ANSWER[split:])
            self.assertTrue(client.receive(), split)
            self.assertEqual(first_value(client.answer), "42")

    def test_a_closed_connection_tells_the_error(self):
        client, theirs = self.client()
        theirs.send(message(b"E", b"SFATAL\0C53300\0Mtoo many clients\0\0"))
        theirs.close()
        self.assertFalse(client.receive())
        with self.assertRaisesRegex(ConnectionError, "53300 too many clients"):
            client.receive()

    def test_errors_and_missing_rows_are_no_values(self):
        with self.assertRaisesRegex(ValueError, "22012 division by zero"):
            first_value([(b"E", b"C22012\0Mdivision by zero\0\0")])
        with self.assertRaises(ValueError):
            first_value([(b"Z", b"I")])
        self.assertEqual(error_text(b""), "????? ?")


if __name__ == "__main__":
    unittest.main()
