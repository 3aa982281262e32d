"""The `gcp` package, for previews only: Google Cloud's inputs as the installed SDK has them."""

from lab.plugins.cloud import cloud_package

package = cloud_package("gcp")
