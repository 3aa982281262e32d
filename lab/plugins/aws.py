"""The `aws` package, for previews only: AWS's inputs as the installed SDK has them."""

from lab.plugins.cloud import cloud_package

package = cloud_package("aws")
