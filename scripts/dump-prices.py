#!/usr/bin/env python3
"""Prints the price data of two packages as JSON, for `farebox book import`.

    python3 -m venv .venv/prices
    .venv/prices/bin/pip install -r tests/differential/requirements.txt
    .venv/prices/bin/python scripts/dump-prices.py > prices.json
    farebox book import prices.json --checked 2026-11-24 > books/catalogue.json

It only re-writes what the packages carry: no number is computed, and none passes through a float.
Nothing is fetched: litellm's map is read from the installed file, without importing the package.
"""

import importlib.metadata
import json
import pathlib
import sys
from datetime import datetime, timezone
from decimal import Decimal

from genai_prices import types
from genai_prices.data import providers
from genai_prices.data_units import unit_data

PACKAGES = ('genai-prices', 'litellm')


def clause(match):
    """A match rule as one-key objects."""
    if match is None:
        return None
    match match:
        case types.ClauseOr(or_=rules):
            return {'or': [clause(rule) for rule in rules]}
        case types.ClauseAnd(and_=rules):
            return {'and': [clause(rule) for rule in rules]}
        case _:
            names = {'ClauseEquals': 'equals', 'ClauseStartsWith': 'prefix', 'ClauseEndsWith': 'suffix',
                     'ClauseContains': 'contains', 'ClauseRegex': 'regex'}
            return {names[type(match).__name__]: next(iter(vars(match).values()))}


def price(value):
    if isinstance(value, types.TieredPrices):
        return {'base': plain(value.base), 'above': [[tier.start, plain(tier.price)] for tier in value.tiers]}
    return {'base': plain(value)}


def prices(model_price):
    return {key: price(value) for key, value in vars(model_price).items() if value is not None}


def plain(number):
    return format(Decimal(number), 'f')


def constraint(rule):
    if isinstance(rule, types.StartDateConstraint):
        return {'from': rule.start_date.isoformat()}
    if isinstance(rule, types.TimeOfDateConstraint):
        def utc(time):
            stamp = datetime.combine(datetime(2000, 1, 1), time)
            stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=timezone.utc)
            return stamp.astimezone(timezone.utc).strftime('%H:%M')
        return {'hours': [utc(rule.start_time), utc(rule.end_time)]}
    return {}


def model(info):
    listed = info.prices if isinstance(info.prices, list) else [types.ConditionalPrice(prices=info.prices)]
    return {
        'id': info.id,
        'match': clause(info.match),
        'context_window': info.context_window,
        'prices': [{**constraint(entry.constraint), 'prices': prices(entry.prices)} for entry in listed],
        'variants': [{**constraint(entry.constraint), 'when': entry.when, 'prices': prices(entry.prices)}
                     for entry in info.price_variants or []],
    }


def litellm():
    folder = pathlib.Path(importlib.metadata.distribution('litellm').locate_file('litellm'))
    text = (folder / 'model_prices_and_context_window_backup.json').read_text()
    models = json.loads(text, parse_float=plain, parse_int=str)
    models.pop('sample_spec', None)
    return models


json.dump({
    'sources': {name: importlib.metadata.version(name) for name in PACKAGES},
    'units': {unit['price_key']: unit['per'] for unit in unit_data.values()},
    'genai': [{'id': provider.id, 'spellings': clause(provider.provider_match), 'makes': clause(provider.model_match),
               'serves': provider.fallback_model_providers or [], 'models': [model(info) for info in provider.models]}
              for provider in providers],
    'litellm': litellm(),
}, sys.stdout)
