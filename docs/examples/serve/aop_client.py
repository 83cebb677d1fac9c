"""A signed client of the official gateway; only BASE_URL is another.
python aop_client.py BASE_URL APP_KEY APP_SECRET ACCESS_TOKEN PICTURE"""

import base64
import hashlib
import hmac
import json
import sys

import requests

NAMESPACE = "com.alibaba.fenxiao.crossborder"


def call(base_url, app_key, app_secret, name, params):
    path = f"param2/1/{NAMESPACE}/{name}/{app_key}"
    text = path + "".join(sorted(key + value for key, value in params.items()))
    signature = hmac.new(app_secret.encode(), text.encode(), hashlib.sha1).hexdigest().upper()
    response = requests.post(
        f"{base_url}/openapi/{path}", data={**params, "_aop_signature": signature}, timeout=300
    )
    answer = response.json()
    if "error_code" in answer:
        raise RuntimeError(f"{answer['error_code']}: {answer['error_message']}")
    print("x-tongkuan:", response.headers.get("x-tongkuan"), file=sys.stderr)
    return answer["result"]


base_url, app_key, app_secret, access_token, picture = sys.argv[1:6]
with open(picture, "rb") as file:
    image = base64.b64encode(file.read()).decode()
uploaded = call(base_url, app_key, app_secret, "product.image.upload", {
    "uploadImageParam": json.dumps({"imageBase64": image}),
    "access_token": access_token,
})
if uploaded["result"] == "0":
    sys.exit("the picture was not taken")
found = call(base_url, app_key, app_secret, "product.search.imageQuery", {
    "offerQueryParam": json.dumps({"imageId": uploaded["result"], "beginPage": 1, "pageSize": 20, "country": "en"}),
    "access_token": access_token,
})
for offer in found["result"]["data"]:
    print(offer["offerId"], offer["priceInfo"]["price"], offer["subject"])
