"""Writes rate.jsonl and rate.expected.jsonl: random cases for `farebox rate`, priced by a second
implementation in plain fractions that shares nothing with the engine.

    python3 tests/golden/make_rate.py [seed] [cases]           the golden files, anew
    python3 tests/golden/make_rate.py --against PROGRAM [seed] [cases]
                                                               compares without writing
"""

import json
import random
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction as F
from math import ceil, floor
from pathlib import Path

MODES = ["half_up", "half_even", "up", "down", "ceiling"]
MODELS = ["flat", "per_unit", "graduated", "volume", "package", "percentage", "graduated_percentage",
          "graduated_package", "volume_package", "cost_plus"]
TAKES_AMOUNTS = ("percentage", "cost_plus")


class Refused(Exception):
    """The stable code of a refusal."""


# --- cases ------------------------------------------------------------------------------------


class Cases:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self, digits, places, zero=True):
        places = self.random.choice([0, 0, 0, 1, 2, 3, places])
        text = str(self.random.randrange(0 if zero else 1, 10 ** self.random.randint(1, digits)))
        text = text.rjust(places + 1, "0")
        return f"{text[:-places]}.{text[-places:]}" if places else text

    def ends(self, count):
        """Ascending tier ends; the last is mostly open."""
        end, ends = Decimal(0), []
        for at in range(count):
            end += Decimal(self.number(4, 2, zero=False))
            ends.append(None if at == count - 1 and self.random.random() < 0.8 else str(end))
        return ends

    def tiers(self, price):
        tiers = []
        for end in self.ends(self.random.randint(1, 5)):
            tier = {"up_to": end, price: self.number(3, 3)}
            if self.random.random() < 0.5:
                tier["flat_fee"] = self.number(2, 2)
            tiers.append(tier)
        return tiers

    def block_tiers(self):
        tiers = [{"block_size": self.number(3, 2, zero=False),
                  "max_blocks": self.random.choice([self.random.randint(1, 9), "3"]),
                  "price_per_block": self.number(3, 2)}
                 for _ in range(self.random.randint(1, 4))]
        if self.random.random() < 0.8:
            tiers[-1]["max_blocks"] = None
        return tiers

    def charge(self):
        r = self.random
        model = r.choice(MODELS)
        charge = {"model": model}

        def maybe(name, value, chance=0.4):
            if r.random() < chance:
                charge[name] = value

        if model == "flat":
            charge["amount"] = self.number(5, 6)
        elif model == "per_unit":
            charge["unit_price"] = self.number(3, 6)
            maybe("unit_price_is_per", r.choice(["1000", "1000000", 100]))
        elif model in ("graduated", "volume"):
            charge["tiers"] = self.tiers("unit_price")
        elif model == "graduated_percentage":
            charge["tiers"] = self.tiers("rate_percent")
        elif model == "package":
            charge["package_size"] = r.choice(["1", "10", "1000", "2.5", "7"])
            charge["price_per_package"] = self.number(3, 2)
            maybe("package_rounding", r.choice(["up", "down"]))
        elif model == "percentage":
            charge["rate_percent"] = self.number(2, 2)
            maybe("fixed_fee_per_paid_event", self.number(2, 2))
            maybe("free_events", r.choice([r.randint(0, 4), str(r.randint(0, 4))]))
            maybe("free_amount_total", self.number(4, 2))
            maybe("per_event_min", str(r.randint(0, 5)))
            maybe("per_event_max", str(r.randint(5, 30)))
        elif model == "cost_plus":
            charge["multiplier"] = self.number(2, 2)
            maybe("add", self.number(2, 3))
        else:
            charge["tiers"] = self.block_tiers()
        maybe("divide_by", r.choice(["60", "3600", "1000", "3", "1024", "0.5"]), 0.2)
        maybe("quantity_rounding", r.choice(MODES), 0.2)
        maybe("quantity_multiple", r.choice(["5", "60", "0.25"]), 0.15)
        maybe("free_units", self.number(3, 2), 0.2)
        maybe("minimum_amount", str(r.randint(0, 20)), 0.15)
        maybe("maximum_amount", str(r.randint(20, 2000)), 0.15)
        if r.random() < 0.4:
            charge["round_to"] = r.choice([0, 2, "2", 3, 6])
            maybe("rounding", r.choice(MODES), 0.7)
        maybe("first_tier_flat_fee_at_zero_usage", r.choice([True, False]), 0.2)
        return charge

    def case(self, number):
        r, charge = self.random, self.charge()
        case = {"id": number, "charge": charge}
        if charge["model"] in TAKES_AMOUNTS:
            case["amounts"] = [self.number(4, 2) for _ in range(r.randint(0, 7))]
        elif charge["model"] != "flat" or r.random() < 0.5:
            case["quantity"] = r.choice(["0", self.number(5, 2), self.number(3, 3), self.number(7, 6)])
        ends = [tier["up_to"] for tier in charge.get("tiers", []) if tier.get("up_to")]
        if ends and r.random() < 0.3:
            case["quantity"] = r.choice(ends)
        return case


# --- the second implementation ----------------------------------------------------------------


def rounded(number, mode):
    below = floor(number)
    rest, negative = number - below, number < 0
    if rest == 0:
        return below
    if mode == "ceiling" or (mode == "up" and not negative) or (mode == "down" and negative):
        return below + 1
    if mode in ("up", "down"):
        return below
    if rest != F(1, 2):
        return below + (rest > F(1, 2))
    if mode == "half_even":
        return below + below % 2
    return below if negative else below + 1


def converted(charge, number):
    number = F(number)
    if "divide_by" in charge:
        number /= F(charge["divide_by"])
    if "quantity_rounding" in charge:
        number = F(rounded(number, charge["quantity_rounding"]))
    if "quantity_multiple" in charge:
        multiple = F(charge["quantity_multiple"])
        number = ceil(number / multiple) * multiple
    return number


def graduated(charge, quantity, price, per):
    if quantity == 0:
        at_zero = charge.get("first_tier_flat_fee_at_zero_usage", False)
        return F(charge["tiers"][0].get("flat_fee", 0)) if at_zero else F(0)
    total, start = F(0), F(0)
    for tier in charge["tiers"]:
        if quantity <= start:
            break
        end = quantity if tier["up_to"] is None else min(quantity, F(tier["up_to"]))
        total += (end - start) * F(tier[price]) / per + F(tier.get("flat_fee", 0))
        start = end
    if quantity > start:
        raise Refused("quantity_beyond_tiers")
    return total


def volume(charge, quantity):
    at_zero = charge.get("first_tier_flat_fee_at_zero_usage", False)
    for tier in charge["tiers"]:
        if tier["up_to"] is None or quantity <= F(tier["up_to"]):
            fee = F(tier.get("flat_fee", 0)) if quantity > 0 or at_zero else 0
            return quantity * F(tier["unit_price"]) + fee
    raise Refused("quantity_beyond_tiers")


def room(tier):
    return None if tier["max_blocks"] is None else F(tier["block_size"]) * F(tier["max_blocks"])


def blocks(tier, units):
    return ceil(units / F(tier["block_size"])) * F(tier["price_per_block"])


def graduated_package(charge, left):
    total = F(0)
    for tier in charge["tiers"]:
        taken = left if room(tier) is None else min(left, room(tier))
        total += blocks(tier, taken)
        left -= taken
    if left > 0:
        raise Refused("quantity_beyond_tiers")
    return total


def volume_package(charge, quantity):
    left = quantity
    for tier in charge["tiers"]:
        if room(tier) is None or left <= room(tier):
            return blocks(tier, quantity)
        left -= room(tier)
    raise Refused("quantity_beyond_tiers")


def percentage(charge, amounts):
    free_events, free_total = int(charge.get("free_events", 0)), F(charge.get("free_amount_total", 0))
    total, running = F(0), F(0)
    for at, amount in enumerate(amounts):
        running, paid = running + amount, amount
        if (free_events or free_total) and (at < free_events or not free_events):
            if not free_total or running <= free_total:
                continue
            paid = min(amount, running - free_total)
        price = paid * F(charge["rate_percent"]) / 100 + F(charge.get("fixed_fee_per_paid_event", 0))
        price = max(price, F(charge.get("per_event_min", price)))
        total += min(price, F(charge.get("per_event_max", price)))
    return total


def by_model(charge, quantity, amounts):
    model = charge["model"]
    if model == "flat":
        return F(charge["amount"])
    if model == "per_unit":
        return quantity * F(charge["unit_price"]) / F(charge.get("unit_price_is_per", 1))
    if model == "graduated":
        return graduated(charge, quantity, "unit_price", 1)
    if model == "graduated_percentage":
        return graduated(charge, quantity, "rate_percent", 100)
    if model == "volume":
        return volume(charge, quantity)
    if model == "package":
        packages = quantity / F(charge["package_size"])
        up = charge.get("package_rounding", "up") == "up"
        return (ceil(packages) if up else floor(packages)) * F(charge["price_per_package"])
    if model == "graduated_package":
        return graduated_package(charge, quantity)
    if model == "volume_package":
        return volume_package(charge, quantity)
    if model == "percentage":
        return percentage(charge, amounts)
    return sum((cost * F(charge["multiplier"]) + F(charge.get("add", 0)) for cost in amounts), F(0))


def price(case):
    charge, free = case["charge"], F(case["charge"].get("free_units", 0))
    quantity, amounts = F(0), []
    if charge["model"] in TAKES_AMOUNTS:
        for amount in case["amounts"]:
            amount = converted(charge, amount)
            taken = min(amount, free)
            free -= taken
            amounts.append(amount - taken)
    elif charge["model"] != "flat":
        quantity = max(F(0), converted(charge, case["quantity"]) - free)
    total = by_model(charge, quantity, amounts)
    total = max(total, F(charge.get("minimum_amount", total)))
    total = min(total, F(charge.get("maximum_amount", total)))
    if "round_to" in charge:
        unit = 10 ** int(charge["round_to"])
        total = F(rounded(total * unit, charge.get("rounding", "half_up")), unit)
    return decimal(total)


def decimal(number):
    """Plain notation without trailing zeros; refused where there is none."""
    places, rest = 0, number.denominator
    while rest % 10 == 0 or rest % 2 == 0 or rest % 5 == 0:
        rest = rest // 10 if rest % 10 == 0 else rest // (2 if rest % 2 == 0 else 5)
        places += 1
    if rest != 1:
        raise Refused("amount_out_of_range")
    digits = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return ("-" if number < 0 else "") + text


def expected(case):
    try:
        return {"id": case["id"], "amount": price(case)}
    except Refused as refused:
        return {"id": case["id"], "code": str(refused)}


# --- use --------------------------------------------------------------------------------------


def compare(program, cases):
    lines = "\n".join(map(json.dumps, cases))
    run = subprocess.run([program, "rate"], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(cases), run.stderr
    differences = 0
    for case, answer in zip(cases, answers):
        told = {"id": answer["id"]}
        told |= {"code": answer["error"]["code"]} if "error" in answer else {"amount": answer["amount"]}
        if told != expected(case):
            differences += 1
            print(json.dumps(case), "\n  engine:", told, "\n  second:", expected(case))
    print(f"{len(cases)} cases, {differences} differences")
    return differences != 0


def main(arguments):
    program = None
    if arguments[:1] == ["--against"]:
        program, arguments = arguments[1], arguments[2:]
    seed = int(arguments[0]) if arguments else 1
    count = int(arguments[1]) if len(arguments) > 1 else 500
    cases = Cases(seed)
    cases = [cases.case(number) for number in range(count)]
    if program:
        return compare(program, cases)
    here = Path(__file__).parent
    for name, lines in (("rate.jsonl", cases), ("rate.expected.jsonl", map(expected, cases))):
        (here / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
