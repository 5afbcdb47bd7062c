/** Sixty widely used packages: the line in requirements.txt, a statement that uses the package, and its value. */
export interface PopularPackage {
  /** The only line of requirements.txt. */
  requirement: string;
  /** Statements; the last one is an expression. */
  code: string;
  /** The expression's value, as JSON. */
  gives: unknown;
}

const entry = (requirement: string, code: string, gives: unknown): PopularPackage => ({ requirement, code, gives });

export const POPULAR: readonly PopularPackage[] = [
  entry(
    'requests',
    'import requests; requests.Request("GET", "http://a/", params={"b": 1}).prepare().url',
    'http://a/?b=1',
  ),
  entry('flask', 'import flask; flask.Flask("x").test_client().get("/").status_code', 404),
  entry('fastapi', 'import fastapi; sorted(fastapi.FastAPI(title="x").openapi()["info"])', ['title', 'version']),
  entry('django', 'from django.utils.text import slugify; slugify("A b")', 'a-b'),
  entry('aiohttp', 'import aiohttp; str(aiohttp.typedefs.URL("http://a") / "b")', 'http://a/b'),
  entry('httpx', 'import httpx; str(httpx.URL("http://a/b").join("c"))', 'http://a/c'),
  entry('numpy', 'import numpy as np; int(np.arange(5).sum())', 10),
  entry('pandas[excel]', 'import pandas as pd; pd.DataFrame({"a": [1, 2]})["a"].sum().item()', 3),
  entry('scipy', 'from scipy.optimize import brentq; round(brentq(lambda x: x * x - 4, 0, 9), 6)', 2),
  entry(
    'scikit-learn',
    'from sklearn.linear_model import LinearRegression; round(LinearRegression().fit([[0], [1]], [0, 2]).predict([[3]])[0], 6)',
    6,
  ),
  entry(
    'matplotlib',
    'import io, matplotlib; matplotlib.use("Agg"); import matplotlib.pyplot as p; b = io.BytesIO(); p.plot([1, 2]); p.savefig(b); b.getvalue()[1:4].decode()',
    'PNG',
  ),
  entry('pillow', 'from PIL import Image; list(Image.new("RGB", (4, 4)).resize((2, 1)).size)', [2, 1]),
  entry('boto3', 'import boto3; boto3.client("s3", region_name="us-east-1").meta.region_name', 'us-east-1'),
  entry(
    'sqlalchemy',
    'import sqlalchemy as s; s.create_engine("sqlite://").connect().execute(s.text("select 7")).scalar()',
    7,
  ),
  entry('pydantic', 'import pydantic; pydantic.create_model("M", a=(int, ...))(a="3").a', 3),
  entry('jinja2', 'import jinja2; jinja2.Template("{{ a }}").render(a=1)', '1'),
  entry('pyyaml', 'import yaml; yaml.safe_load("a: [1]")', { a: [1] }),
  entry('click', 'import click; click.unstyle(click.style("a", fg="red"))', 'a'),
  entry('rich', 'from rich.text import Text; Text.from_markup("[b]a[/b]").plain', 'a'),
  entry('typer', 'import typer; typer.Typer(name="x").info.name', 'x'),
  entry('beautifulsoup4', 'from bs4 import BeautifulSoup; BeautifulSoup("<p>a</p>", "html.parser").p.text', 'a'),
  entry('lxml', 'from lxml import etree; etree.fromstring("<a><b/></a>")[0].tag', 'b'),
  entry('openpyxl', 'import openpyxl; openpyxl.Workbook().active.title', 'Sheet'),
  entry('pypdf', 'import pypdf; len(pypdf.PdfWriter().pages)', 0),
  entry('reportlab', 'from reportlab.lib.units import cm; round(cm, 2)', 28.35),
  entry(
    'cryptography',
    'from cryptography.fernet import Fernet; k = Fernet(Fernet.generate_key()); k.decrypt(k.encrypt(b"a")).decode()',
    'a',
  ),
  entry('pyjwt[crypto]', 'import jwt; k = "k" * 32; jwt.decode(jwt.encode({"a": 1}, k), k, ["HS256"])', { a: 1 }),
  entry('bcrypt', 'import bcrypt; bcrypt.checkpw(b"a", bcrypt.hashpw(b"a", bcrypt.gensalt(4)))', true),
  entry('redis', 'import redis; redis.Redis().connection_pool.connection_kwargs["port"]', 6379),
  entry('pymongo', 'import bson; bson.decode(bson.encode({"a": 1}))', { a: 1 }),
  entry('psycopg[binary]', 'import psycopg; psycopg.conninfo.make_conninfo(host="a")', 'host=a'),
  entry('pymysql', 'import pymysql; pymysql.converters.escape_string("\'")', "\\'"),
  entry('celery', 'import celery; celery.Celery("x").main', 'x'),
  entry('stripe', 'import stripe; stripe.api_base', 'https://api.stripe.com'),
  entry('openai', 'import openai; openai.OpenAI(api_key="k").base_url.host', 'api.openai.com'),
  entry('google-cloud-storage', 'from google.cloud import storage; storage.Blob("a", None).name', 'a'),
  entry(
    'azure-storage-blob',
    'from azure.storage.blob import BlobClient; BlobClient("https://x.blob.core.windows.net", "c", "b").blob_name',
    'b',
  ),
  entry('paramiko', 'import paramiko; paramiko.Transport.__name__', 'Transport'),
  entry('python-dateutil', 'from dateutil import parser; parser.parse("2024-01-02").day', 2),
  entry('arrow', 'import arrow; arrow.get("2024-01-02").shift(days=1).day', 3),
  entry('networkx', 'import networkx as nx; nx.shortest_path(nx.path_graph(3), 0, 2)', [0, 1, 2]),
  entry('sympy', 'import sympy; str(sympy.expand((sympy.Symbol("x") + 1) ** 2))', 'x**2 + 2*x + 1'),
  entry('nltk', 'from nltk.stem import PorterStemmer; PorterStemmer().stem("running")', 'run'),
  entry('polars', 'import polars as pl; pl.DataFrame({"a": [1, 2]})["a"].sum()', 3),
  entry('pyarrow', 'import pyarrow as pa, pyarrow.compute as pc; pc.sum(pa.array([1, 2])).as_py()', 3),
  entry('duckdb', 'import duckdb; duckdb.sql("select 7").fetchall()[0][0]', 7),
  entry('numba', 'import numba; numba.njit(lambda x: x + 1)(1)', 2),
  entry('xgboost', 'import xgboost, numpy; xgboost.DMatrix(numpy.eye(2)).num_row()', 2),
  entry(
    'statsmodels',
    'import statsmodels.api as sm; round(float(sm.OLS([1, 2, 3], [1, 2, 3]).fit().params[0]), 6)',
    1,
  ),
  entry('plotly', 'import plotly.graph_objects as go; go.Figure(go.Bar(y=[1])).data[0].type', 'bar'),
  entry('shapely', 'from shapely.geometry import Point; round(Point(0, 0).buffer(1).area, 1)', 3.1),
  entry('opencv-python-headless', 'import cv2, numpy; list(cv2.resize(numpy.zeros((4, 4)), (2, 2)).shape)', [2, 2]),
  entry('orjson', 'import orjson; orjson.loads(orjson.dumps([1]))', [1]),
  entry('protobuf', 'from google.protobuf.struct_pb2 import Value; Value(number_value=2).number_value', 2),
  entry('grpcio', 'import grpc; grpc.StatusCode.OK.name', 'OK'),
  entry('marshmallow', 'import marshmallow as m; m.Schema.from_dict({"a": m.fields.Int()})().load({"a": "1"})', {
    a: 1,
  }),
  entry('python-dotenv', 'import io, dotenv; dotenv.dotenv_values(stream=io.StringIO("A=1"))', { A: '1' }),
  entry('markdown', 'import markdown; markdown.markdown("*a*")', '<p><em>a</em></p>'),
  entry('tiktoken', 'import tiktoken; "cl100k_base" in tiktoken.list_encoding_names()', true),
  entry(
    'joblib',
    'from joblib import Parallel, delayed; Parallel(n_jobs=2)(delayed(abs)(-i) for i in range(3))',
    [0, 1, 2],
  ),
];
