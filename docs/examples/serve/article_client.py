"""Image search as the common articles write it; only BASE_URL is another. python article_client.py BASE_URL KEY SECRET PICTURE"""

import sys

import requests


class ImageSearch:
    def __init__(self, base_url, app_key, app_secret):
        self.base_url = base_url
        self.app_key = app_key
        self.app_secret = app_secret
        self.access_token = self.get_token()

    def get_token(self):
        url = f"{self.base_url}/auth/requestToken"
        params = {
            "grant_type": "client_credentials",
            "client_id": self.app_key,
            "client_secret": self.app_secret,
        }
        return requests.get(url, params=params, timeout=60).json()["access_token"]

    def search_by_image(self, image_path, page=1, page_size=20):
        url = f"{self.base_url}/openapi/param2/1/com.alibaba.product/alibaba.product.imageSearch"
        headers = {"Authorization": f"Bearer {self.access_token}"}
        with open(image_path, "rb") as file:
            files = {"image": ("image.jpg", file, "image/jpeg")}
            data = {"pageNo": page, "pageSize": page_size}
            response = requests.post(url, headers=headers, files=files, data=data, timeout=300)
        result = response.json()
        if not result.get("success"):
            raise RuntimeError(f"{result.get('error_code')}: {result.get('error_message')}")
        print("x-tongkuan:", response.headers.get("x-tongkuan"), file=sys.stderr)
        return result["products"]


if __name__ == "__main__":
    base_url, app_key, app_secret, picture = sys.argv[1:5]
    for product in ImageSearch(base_url, app_key, app_secret).search_by_image(picture):
        print(product["productId"], product["price"], product["title"], product["supplierInfo"]["companyName"])
